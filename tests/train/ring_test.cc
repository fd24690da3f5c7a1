// A run whose store has one spare slot and a gradient log, killed wherever what is on disk changes
// its meaning, twice: it goes on from what is there and ends with the bits of a run that was left
// alone.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "core/parallel.h"
#include "storage/real_disk.h"
#include "storage/temp_folder.h"
#include "train/engine.h"
#include "train/store_weights.h"
#include "train/tiny.h"
#include "train/training.h"

namespace outsize::train_test {
namespace {

constexpr std::int64_t kRows = 2, kLength = 24, kSteps = 3;

class RingRun {
 public:
  RingRun(const std::string& folder, bool deferred) : model_(tiny_model("qwen2")), folder_(folder) {
    set_thread_count(1);
    const size_t calls =
        model_
            ->program(
                {.mode = BuildOptions::Mode::training, .tokens = kLength, .row_length = kLength})
            .calls.size();
    PlanKnobs knobs{.durable = true, .ring = true};
    if (deferred) knobs.updates = UpdateTime::next_forward;
    knobs.stream_weights = knobs.stream_state = std::vector<char>(calls, 1);
    knobs.offload_gradients = knobs.stream_weights;
    // Something of each kind: a block's state stays in RAM, and the embedding's gradient.
    knobs.stream_weights[2] = knobs.stream_state[2] = 0;
    knobs.offload_gradients.front() = 0;
    knobs.store_block = 4096;
    knobs.piece_elements = 2048;
    engine_ = std::make_unique<TrainingEngine>(*model_,
                                               TrainingShape{kRows, kLength, 1, DType::bf16, false},
                                               OptimizerOptions{}, PlanningOptions{.knobs = knobs});
  }

  // From wherever the store stands to the last step. The losses of the steps made here.
  std::vector<double> go_on(const StoreOptions& options = {}) {
    engine_->allocate(folder_, options);
    std::int64_t step = 0;
    if (!engine_->stored_step()) {
      engine_->randomise(1);
      engine_->commit(0, "0");
    } else {
      step = *engine_->stored_step();
      EXPECT_EQ(engine_->stored_blob(), std::to_string(step));
      const bool waits = engine_->stored_step_waits();
      engine_->restore();
      if (waits) engine_->commit(step, std::to_string(step));
    }
    std::vector<double> losses;
    while (step < kSteps) losses.push_back(make_step(++step));
    engine_->finish_updates();
    engine_->commit(step, std::to_string(step));
    return losses;
  }

 private:
  double make_step(std::int64_t step) {
    const Batch batch = random_batch(kRows, kLength, kVocabulary, static_cast<std::uint64_t>(step));
    engine_->record = [step](double) { return std::to_string(step); };
    const double loss =
        engine_->step({&batch, 1}, batch.target_tokens, {.step = step, .lr = 1e-2, .clip = 0.5});
    if (!engine_->updates_wait()) engine_->commit(step, std::to_string(step));
    return loss;
  }

  std::unique_ptr<Model> model_;
  std::string folder_;
  std::unique_ptr<TrainingEngine> engine_;
};

std::string stored_bytes(const std::string& folder) {
  const auto disk = make_real_disk();
  const auto store = StateStore::open(*disk, folder + "/store", {});
  EXPECT_FALSE(store->pending());
  std::string bytes;
  const auto& groups = store->layout().groups;
  for (size_t g = 0; g < groups.size(); ++g)
    for (size_t e = 0; e < groups[g].extents.size(); ++e) {
      AlignedBuffer memory(groups[g].extents[e].bytes);
      const StorePart part{static_cast<int>(g), static_cast<int>(e), 0, memory.size()};
      EXPECT_TRUE(store->wait(store->read(part, memory.data())).ok());
      bytes.append(reinterpret_cast<const char*>(memory.data()), memory.size());
    }
  return bytes;
}

// A process of its own that goes on and is killed when it comes to the point for the n-th time.
bool kill_at(KillPoint point, int turn, const std::string& folder, bool deferred) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      const auto die = [&](KillPoint reached) {
        if (reached == point && --turn == 0) ::raise(SIGKILL);
      };
      RingRun(folder, deferred).go_on({.on_kill_point = die});
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(1);
    }
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

enum class Left { whole, half_done };

// What an evaluation finds: the state of one step, or nothing at all.
Left look(const std::string& folder) {
  try {
    (void)stored_step_of(folder);
    return Left::whole;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("outsize train"));
    EXPECT_THROW((void)open_store_weights(folder), Error);
    return Left::half_done;
  }
}

class Ring : public ::testing::TestWithParam<bool> {};  // deferred

TEST_P(Ring, GoesOnAfterKillsAtEveryPoint) {
  const TempFolder whole(memory_folder());
  const std::vector<double> losses = RingRun(whole.path(), GetParam()).go_on();
  const std::string expected = stored_bytes(whole.path());
  ASSERT_EQ(losses.size(), static_cast<size_t>(kSteps));
  int kills = 0, half_done = 0;
  for (int point = 0; point < kKillPointCount; ++point)
    for (const int turn : {1, 4}) {
      const TempFolder folder(memory_folder());
      const auto at = static_cast<KillPoint>(point);
      for (const int again : {turn, 1}) {
        kills += kill_at(at, again, folder.path(), GetParam());
        const auto disk = make_real_disk();
        if (StateStore::exists(*disk, folder.path() + "/store"))
          half_done += look(folder.path()) == Left::half_done;
      }
      const std::vector<double> rest = RingRun(folder.path(), GetParam()).go_on();
      EXPECT_TRUE(std::equal(rest.rbegin(), rest.rend(), losses.rbegin())) << name_of(at) << turn;
      EXPECT_TRUE(stored_bytes(folder.path()) == expected) << name_of(at) << turn;
    }
  std::printf("%d kills, %d left a step half done\n", kills, half_done);
  EXPECT_GE(kills, 40);
  EXPECT_GE(half_done, 4);
}

// Killed when nothing but the commit was missing, and nothing lives in RAM: no work is left, and no
// memory but that of the batch.
TEST(RingRedo, OfAStepWhoseUpdatesAreAllMade) {
  const TempFolder folder(memory_folder());
  const auto model = tiny_model("qwen2");
  const Batch batch = random_batch(kRows, kLength, kVocabulary, 1);
  PlanKnobs knobs = everything_streamed(*model, /*vertical=*/false);
  knobs.ring = true;
  const auto start = [&] {
    auto engine = std::make_unique<TrainingEngine>(
        *model, TrainingShape{kRows, kLength, 1, DType::bf16, false}, OptimizerOptions{},
        PlanningOptions{.knobs = knobs});
    engine->allocate(folder.path());
    return engine;
  };
  {
    const auto engine = start();
    engine->randomise(1);
    engine->commit(0, "0");
    engine->step({&batch, 1}, batch.target_tokens, {.step = 1, .lr = 1e-2});
  }
  const auto engine = start();
  EXPECT_TRUE(engine->stored_step_waits());
  engine->restore();
  engine->commit(1, "1");
  EXPECT_EQ(engine->stored_step(), 1);
}

TEST(StoreChoice, TakesTwoSlotsWhereTheyFitTheDiskAndOtherwiseTheRing) {
  const auto model = wide_model();
  const TrainingShape shape{2, 128, 1, DType::bf16, false};
  const std::int64_t all =
      TrainingEngine(*model, shape, OptimizerOptions{}, PlanningOptions{}).arena_bytes();
  PlanningOptions options{.budget_bytes = all * 6 / 10, .may_use_disk = true};
  const auto plan = [&](std::optional<std::int64_t> room) {
    options.disk_bytes = room;
    return std::make_unique<TrainingEngine>(*model, shape, OptimizerOptions{}, options);
  };
  const auto slots = plan(std::nullopt);
  ASSERT_TRUE(slots->durable());
  EXPECT_EQ(slots->plan().log_bytes, 0);
  const std::int64_t needed = slots->store_file_bytes() + slots->scratch_bytes();
  EXPECT_EQ(plan(needed)->plan().log_bytes, 0);
  const auto ring = plan(needed - 1);
  EXPECT_GT(ring->plan().log_bytes, 0);
  EXPECT_LT(ring->store_file_bytes(), slots->store_file_bytes());
  EXPECT_EQ(ring->store_file_bytes(StoreScheme::two_slots), slots->store_file_bytes());
  try {
    plan(needed / 4);
    FAIL() << "planned for a disk that is too small";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory);
    EXPECT_THAT(error.what(), ::testing::HasSubstr(fmt::format("{} with two slots", needed)));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("with one spare slot"));
  }
  options.store = StoreScheme::two_slots;
  EXPECT_THROW(plan(needed - 1), Error) << "the ring was not asked for";
}

INSTANTIATE_TEST_SUITE_P(Updates, Ring, ::testing::Bool(), [](const auto& info) {
  return info.param ? "WithTheNextForward" : "AtTheEnd";
});

}  // namespace
}  // namespace outsize::train_test
