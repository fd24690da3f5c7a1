// Same bits whatever is streamed: losses, norms and the whole state after some steps equal those of
// the plan that keeps everything in RAM, for plans by hand, by search and by chance, with lanes
// that are delayed and runs that are interrupted. All of it at once: matrix/matrix_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/error.h"
#include "storage/temp_folder.h"
#include "train/allocations.h"
#include "train/training.h"

namespace outsize::train_test {
namespace {

// What a run under the options has different from the expected one.
std::string streamed(const How& setup, const PlanningOptions& options, const Result& expected,
                     const std::function<void(TrainingEngine&)>& prepare = {}) {
  const TempFolder folder(memory_folder());
  const Training training(setup);
  Result result;
  {
    const auto engine = training.plan(options);
    engine->allocate(folder.path());
    if (prepare) prepare(*engine);
    engine->randomise(1);
    engine->commit(0, "start");
    training.run(*engine, 0, kSteps, result);
  }
  result.state = state_in_store(folder.path(), expected.state);
  return difference(result, expected);
}

class Streaming : public ::testing::TestWithParam<std::tuple<const char*, DType, const char*>> {
 protected:
  How how() const {
    return {std::get<0>(GetParam()), std::get<1>(GetParam()), std::get<2>(GetParam())};
  }
};

TEST_P(Streaming, GivesTheBitsOfStayingInRam) {
  const Result expected = in_ram(how());
  const Training training(how());
  for (const bool vertical : {false, true}) {
    PlanKnobs knobs = everything_streamed(training.model(), vertical);
    EXPECT_EQ(streamed(how(), {.knobs = knobs}, expected), "") << vertical;
    knobs.updates = UpdateTime::next_forward;
    EXPECT_EQ(streamed(how(), {.knobs = knobs}, expected), "") << vertical << " deferred";
    knobs.recompute.assign(knobs.offload_saved.size(), Recompute::cheap);
    EXPECT_EQ(streamed(how(), {.knobs = knobs}, expected), "") << vertical << " again";
    for (const UpdateTime time : {UpdateTime::after_norm, UpdateTime::next_forward}) {
      knobs.ring = true;
      knobs.updates = time;
      EXPECT_EQ(streamed(how(), {.knobs = knobs}, expected), "")
          << vertical << knobs.deferred() << " ring";
    }
  }
  for (std::uint64_t seed = 0; seed < 5; ++seed)
    EXPECT_EQ(streamed(how(), {.knobs = random_knobs(training.model(), seed)}, expected), "")
        << "seed " << seed;
}

// Then updates need not wait for the norm of all gradients.
TEST_P(Streaming, GivesTheBitsOfStayingInRamWithoutClipping) {
  How unclipped = how();
  unclipped.clip = 0;
  const Result expected = in_ram(unclipped);
  const Training training(unclipped);
  for (const bool vertical : {false, true}) {
    PlanKnobs knobs = everything_streamed(training.model(), vertical);
    knobs.updates = UpdateTime::with_backward;
    EXPECT_EQ(streamed(unclipped, {.knobs = knobs}, expected), "") << vertical;
    knobs.offload_gradients.clear();
    EXPECT_EQ(streamed(unclipped, {.knobs = knobs}, expected), "") << vertical << " none leave";
    knobs.stream_weights.clear();
    EXPECT_EQ(streamed(unclipped, {.knobs = knobs}, expected), "") << vertical << " weights stay";
  }
  for (std::uint64_t seed = 0; seed < 5; ++seed)
    EXPECT_EQ(streamed(unclipped, {.knobs = random_knobs(training.model(), seed, false)}, expected),
              "")
        << "seed " << seed;
}

INSTANTIATE_TEST_SUITE_P(Families, Streaming,
                         ::testing::Values(std::tuple{"gpt2", DType::f32, "adamw"},
                                           std::tuple{"gpt2", DType::bf16, "adamw"},
                                           std::tuple{"llama", DType::bf16, "adafactor"},
                                           std::tuple{"qwen2", DType::f32, "sgd"},
                                           std::tuple{"qwen2", DType::bf16, "adamw"},
                                           std::tuple{"gemma3_text", DType::bf16, "adamw"}),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_" +
                                  name_of(std::get<1>(info.param)) + "_" + std::get<2>(info.param);
                         });

// Each lane sleeps now and then, so that whatever is not ordered happens in another order.
TEST(StreamingPlans, KeepTheirBitsWhenLanesAreDelayed) {
  const How setup{"gemma3_text"};
  const Result expected = in_ram(setup);
  const Training training(setup);
  for (const Resource slow : {Resource::cpu, Resource::disk_read, Resource::disk_write}) {
    const auto delay = [slow](TrainingEngine& engine) {
      for (Executor* executor : engine.executors())
        executor->before_task = [slow](const Task& task) {
          if (task.resource == slow) std::this_thread::sleep_for(std::chrono::microseconds(500));
        };
    };
    for (const bool vertical : {false, true}) {
      PlanKnobs knobs = everything_streamed(training.model(), vertical);
      EXPECT_EQ(streamed(setup, {.knobs = knobs}, expected, delay), "") << name_of(slow);
      knobs.ring = true;
      if (vertical) knobs.updates = UpdateTime::next_forward;
      EXPECT_EQ(streamed(setup, {.knobs = knobs}, expected, delay), "") << name_of(slow) << " ring";
    }
  }
}

class Interrupted : public ::testing::TestWithParam<bool> {};  // ring

TEST_P(Interrupted, RunsGoOnWithTheSameBits) {
  const How setup{"qwen2"};
  const Result expected = in_ram(setup);
  const TempFolder folder(memory_folder());
  const Training training(setup);
  Result result;
  for (std::int64_t step = 0; step < kSteps; ++step) {
    // Another plan after every interruption: the budget may change, the bits may not.
    PlanKnobs knobs = random_knobs(training.model(), static_cast<std::uint64_t>(step) + 40);
    knobs.ring = GetParam();
    const auto engine = training.plan({.knobs = knobs});
    engine->allocate(folder.path());
    if (step == 0) {
      EXPECT_FALSE(engine->stored_step());
      engine->randomise(1);
      engine->commit(0, "start");
    } else {
      EXPECT_EQ(engine->stored_step(), step);
      EXPECT_EQ(engine->stored_blob(), "blob");
      engine->restore();
    }
    training.run(*engine, step, step + 1, result);
  }
  result.state = state_in_store(folder.path(), expected.state);
  EXPECT_EQ(difference(result, expected), "");
}

INSTANTIATE_TEST_SUITE_P(Layouts, Interrupted, ::testing::Bool());

TEST(StreamingPlans, TakeNoMemoryAfterTheFirstStep) {
  if (!can_count_allocations()) GTEST_SKIP() << "the sanitizer has its own allocator";
  const auto model = wide_model();
  const Batch batch = random_batch(2, 128, 1000, 1);
  using enum UpdateTime;
  for (const auto& [time, ring] : {std::pair{after_norm, false},
                                   {next_forward, false},
                                   {with_backward, false},
                                   {after_norm, true},
                                   {next_forward, true}}) {
    PlanKnobs knobs = everything_streamed(*model, /*vertical=*/true);
    knobs.updates = time;
    knobs.ring = ring;
    const bool deferred = knobs.deferred(), clips = time != with_backward;
    TrainingEngine engine(*model, {2, 128, 1, DType::bf16, false}, {},
                          {.clips = clips, .knobs = knobs});
    const TempFolder folder(memory_folder());
    engine.allocate(folder.path());
    engine.randomise(1);
    engine.commit(0, "start");
    for (std::int64_t step = 1; step <= 4; ++step) {
      if (step == 3) start_counting();
      engine.step({&batch, 1}, batch.target_tokens,
                  {.step = step, .lr = 1e-3, .clip = clips ? 1.0 : 0});
      if (step > 1 || !deferred) engine.commit(deferred ? step - 1 : step, "blob");
    }
    const Allocations seen = stop_counting();
    EXPECT_EQ(seen.count, 0) << seen.report;
  }
}

// The pieces share one buffer, which forward reads next.
TEST(StreamingPlans, UpdateTheNextPieceOfAWeightWhileTheDiskIsBusy) {
  const auto model = wide_model();
  PlanKnobs knobs = everything_streamed(*model, /*vertical=*/true);
  knobs.updates = UpdateTime::next_forward;
  const TrainingEngine engine(*model, {2, 128, 1, DType::bf16, false}, {}, {.knobs = knobs});
  const Plan& plan = engine.plan();
  int later_pieces = 0;
  for (const Task& task : plan.tasks) {
    if (task.kind != TaskKind::update) continue;
    const UpdateBinding& update = plan.updates[static_cast<size_t>(task.update)];
    if (update.first == 0) continue;
    ++later_pieces;
    for (const int earlier : task.after)
      for (const Move& move : plan.tasks[static_cast<size_t>(earlier)].moves)
        EXPECT_NE(move.from, update.weight.buffer);
  }
  EXPECT_GT(later_pieces, 0);
}

// More than 200 calls are searched in another way: fewer plans, which fit all the same.
TEST(StreamingPlans, OfDeepModelsFitTheirBudgets) {
  const auto model = wide_model(200);
  const auto plan = [&](std::int64_t budget) {
    return std::make_unique<TrainingEngine>(
        *model, TrainingShape{1, 64, kAccumulation, DType::bf16, false}, OptimizerOptions{},
        PlanningOptions{.budget_bytes = budget, .may_use_disk = true});
  };
  const std::int64_t all = plan(0)->arena_bytes();
  const auto engine = plan(all / 3);
  EXPECT_LE(engine->arena_bytes(), all / 3);
  EXPECT_EQ(engine->candidates().size(), 1u);
  const auto kept = [](const std::vector<char>& streamed) {
    return std::count(streamed.begin(), streamed.end(), 0);
  };
  EXPECT_GT(kept(engine->knobs().stream_weights) + kept(engine->knobs().stream_state), 0);
}

TEST(StreamingPlans, OfTheSearchFitTheirBudgets) {
  const auto model = wide_model();
  const TrainingShape shape{2, 128, kAccumulation, DType::bf16, false};
  const auto plan = [&](std::int64_t budget) {
    return std::make_unique<TrainingEngine>(
        *model, shape, OptimizerOptions{},
        PlanningOptions{.budget_bytes = budget, .may_use_disk = true});
  };
  const std::int64_t all = plan(0)->arena_bytes();
  for (const int percent : {90, 75, 60, 40}) {
    const auto engine = plan(all * percent / 100);
    EXPECT_LE(engine->arena_bytes(), all * percent / 100) << percent;
    EXPECT_FALSE(engine->candidates().empty());
    for (const Candidate& candidate : engine->candidates())
      EXPECT_GE(candidate.seconds, engine->candidates().front().seconds) << candidate.name;
  }
  EXPECT_THROW(plan(all / 100), Error);
  // Down to where nothing fits: what does not is refused for its memory.
  for (int percent = 36; percent > 2; percent -= 2) {
    try {
      EXPECT_LE(plan(all * percent / 100)->arena_bytes(), all * percent / 100) << percent;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory) << percent << ": " << error.what();
    }
  }
}

// As each gradient goes when its update is made, less memory keeps everything in RAM; and what is
// streamed is moved beside backward.
TEST(StreamingPlans, UpdateWithBackwardWhereNothingClips) {
  const auto model = wide_model();
  const TrainingShape shape{1, 16, 1, DType::bf16, false};  // all gradients outweigh activations
  const auto plan = [&](std::int64_t budget, bool clips) {
    return std::make_unique<TrainingEngine>(
        *model, shape, OptimizerOptions{},
        PlanningOptions{.budget_bytes = budget, .may_use_disk = true, .clips = clips});
  };
  const std::int64_t all = plan(0, true)->arena_bytes();
  EXPECT_EQ(plan(0, false)->arena_bytes(), all) << "with room for it, updates come after the norm";
  const auto engine = plan(all - all / 50, false);
  EXPECT_EQ(engine->candidates().front().name, "all in RAM, updates with backward");
  EXPECT_FALSE(engine->durable());
  const auto streamed = plan(all / 2, false);
  EXPECT_THAT(streamed->candidates().front().name, ::testing::HasSubstr("updates with backward"));
  const Batch batch = random_batch(1, 16, 1000, 1);
  const TempFolder folder(memory_folder());
  streamed->allocate(folder.path());
  streamed->randomise(1);
  EXPECT_THROW(streamed->step({&batch, 1}, batch.target_tokens, {.step = 1, .clip = 1.0}), Error)
      << "it cannot clip";
}

TEST(StreamingPlans, RefuseTheStoreOfAnotherModel) {
  const TempFolder folder(memory_folder());
  for (const char* family : {"gpt2", "llama"}) {
    const Training training({family});
    const auto engine =
        training.plan({.knobs = everything_streamed(training.model(), /*vertical=*/true)});
    if (std::string(family) == "gpt2") {
      engine->allocate(folder.path());
      engine->randomise(1);
      engine->commit(0, "start");
      continue;
    }
    try {
      engine->allocate(folder.path());
      FAIL() << "taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("another model's"));
    }
  }
}

}  // namespace
}  // namespace outsize::train_test
