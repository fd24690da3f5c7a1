// Every family under every budget, with every kind of hostility, whole and interrupted after each
// step: the numbers and the whole state are bit for bit those of the plan that keeps all in RAM.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/rng.h"
#include "storage/temp_folder.h"
#include "train/matrix/hostile.h"
#include "train/training.h"

namespace outsize::train_test {
namespace {

enum class Hostility { searched, random, no_overlap, delayed, poisoned };
constexpr Hostility kHostilities[] = {Hostility::searched, Hostility::random, Hostility::no_overlap,
                                      Hostility::delayed, Hostility::poisoned};
constexpr const char* kColumns[] = {"searched", "random", "no overlap", "delayed", "poisoned"};
constexpr int kRandomPlans = 2;        // per budget
constexpr std::int64_t kLastStep = 3;  // enough for a first, a middle and a last part of updates

struct Budget {
  std::string name;
  std::int64_t bytes = 0;         // of the arena; 0: none
  PlanKnobs searched;             // of a run that has a store
  std::vector<PlanKnobs> random;  // that fit as well
};

struct Counts {
  int runs = 0, processes = 0, changes = 0;
  size_t numbers = 0, states = 0;
};

class Matrix
    : public ::testing::TestWithParam<std::tuple<const char*, DType, StoreScheme, double>> {
 protected:
  // Deep enough that a quarter of the memory plans.
  Matrix()
      : how_{std::get<0>(GetParam()),
             std::get<1>(GetParam()),
             "adamw",
             {96, 384, 6},
             std::get<3>(GetParam())},
        training_(how_),
        expected_(in_ram(how_, kLastStep)),
        all_(training_.plan({})->arena_bytes()) {}

  std::unique_ptr<TrainingEngine> search(std::int64_t bytes) const {
    return training_.plan({.budget_bytes = bytes,
                           .may_use_disk = true,
                           .durable = true,
                           .store = std::get<2>(GetParam())});
  }

  // Absent when they do not fit.
  std::unique_ptr<TrainingEngine> plan(std::int64_t bytes, const PlanKnobs& knobs) const {
    try {
      return training_.plan({.budget_bytes = bytes, .knobs = knobs});
    } catch (const OverBudget&) {
      return nullptr;
    }
  }

  void add_budget(const std::string& name, std::int64_t bytes) {
    Budget budget{name, bytes, search(bytes)->knobs(), {}};
    budget.searched.store_block = 4096;  // so that pieces may be small
    for (std::uint64_t seed = 0; seed < kRandomPlans; ++seed)
      budget.random.push_back(random_within(bytes, budget.searched, seed));
    budgets_.push_back(std::move(budget));
  }

  // To one in fifty.
  std::int64_t smallest(std::int64_t fits) const {
    for (std::int64_t fails = 0; fits - fails > fits / 50;) {
      const std::int64_t middle = (fits + fails) / 2;
      try {
        search(middle);
        fits = middle;
      } catch (const OverBudget&) {
        fails = middle;
      }
    }
    return fits;
  }

  // A walk of changes by chance, each of which fits; the store's layout is no choice within a run.
  PlanKnobs random_within(std::int64_t bytes, PlanKnobs knobs, std::uint64_t seed) {
    constexpr std::uint64_t kTries = 12;
    for (std::uint64_t i = 0; i < kTries; ++i) {
      PlanKnobs changed = knobs;
      change(changed, Rng(seed * kTries + i, 0x77616c6b));
      if (!plan(bytes, changed)) continue;
      knobs = changed;
      ++counts_.changes;
    }
    return knobs;
  }

  // One choice in eight anew.
  void change(PlanKnobs& knobs, const Rng& rng) const {
    std::uint64_t draws = 0;
    const auto changes = [&] { return rng.below(draws++, 8) == 0; };
    const PlanKnobs other = random_knobs(training_.model(), rng.bits(1000), how_.clip > 0);
    for (auto list : {&PlanKnobs::stream_weights, &PlanKnobs::stream_state,
                      &PlanKnobs::offload_gradients, &PlanKnobs::offload_saved}) {
      (knobs.*list).resize((other.*list).size(), 0);
      for (size_t call = 0; call < (knobs.*list).size(); ++call)
        if (changes()) (knobs.*list)[call] = (other.*list)[call];
    }
    knobs.recompute.resize(other.recompute.size(), Recompute::nothing);
    for (size_t call = 0; call < knobs.recompute.size(); ++call)
      if (changes()) knobs.recompute[call] = other.recompute[call];
    for (auto number : {&PlanKnobs::piece_elements, &PlanKnobs::read_ahead_bytes,
                        &PlanKnobs::write_behind_bytes, &PlanKnobs::fill_bytes})
      if (changes()) knobs.*number = other.*number;
    if (changes()) knobs.vertical = other.vertical;
    const bool may_follow = !knobs.ring || other.updates != UpdateTime::with_backward;
    if (changes() && may_follow) knobs.updates = other.updates;
  }

  // The budget's plan, ready to run under hostility. `turn`: which one of several.
  std::unique_ptr<TrainingEngine> start(const Budget& budget, Hostility hostility, bool durable,
                                        std::int64_t turn, const std::string& folder) {
    PlanKnobs knobs = hostility == Hostility::random
                          ? budget.random[static_cast<size_t>(turn % kRandomPlans)]
                          : budget.searched;
    if (!durable) knobs.durable = knobs.ring = false;
    auto engine = plan(budget.bytes, knobs);
    engine->allocate(folder);
    check_arena(*engine, budget);
    const auto seed = static_cast<std::uint64_t>(turn);
    if (hostility == Hostility::no_overlap) allow_no_overlap(*engine);
    if (hostility == Hostility::delayed) delay_lanes(*engine, seed);
    if (hostility == Hostility::poisoned) poison_the_dead(*engine);
    ++counts_.processes;
    return engine;
  }

  // The plan's bytes are those of the arena, and no byte of the arena is there for nothing.
  static void check_arena(TrainingEngine& engine, const Budget& budget) {
    std::int64_t end = 0;
    for (const Executor* executor : engine.executors()) {
      EXPECT_EQ(executor->arena_bytes(), engine.arena_bytes());
      end = std::max(end, executor->plan().arena_bytes);
    }
    EXPECT_LE(end, engine.arena_bytes());
    // With a log, what a crash leaves to do may take more.
    EXPECT_TRUE(end == engine.arena_bytes() || engine.plan().log_bytes > 0);
    EXPECT_TRUE(budget.bytes == 0 || engine.arena_bytes() <= budget.bytes) << budget.name;
  }

  static std::function<void(TrainingEngine&)> between(Hostility hostility) {
    if (hostility == Hostility::poisoned) return poison_the_free;
    return {};
  }

  std::string whole(const Budget& budget, Hostility hostility) {
    const TempFolder folder(memory_folder());
    const bool durable = budget.bytes > 0 || hostility == Hostility::random;
    Result result;
    {
      const auto engine = start(budget, hostility, durable, 0, folder.path());
      engine->randomise(1);
      if (durable) engine->commit(0, "start");
      training_.run(*engine, 0, kLastStep, result, between(hostility));
      if (!durable) result.state = state_in_ram(*engine);
    }
    if (durable) result.state = state_in_store(folder.path(), expected_.state);
    return compared(result);
  }

  // As many processes as there are steps, each under the next budget: it makes a step, begins
  // another one, and is gone before that is committed.
  std::string interrupted(size_t first, Hostility hostility) {
    const TempFolder folder(memory_folder());
    Result all;
    std::string text;
    std::int64_t step = 0;
    for (std::int64_t turn = 0; step < kLastStep; ++turn) {
      const Budget& budget = budgets_[(first + static_cast<size_t>(turn)) % budgets_.size()];
      const auto engine = start(budget, hostility, /*durable=*/true, turn, folder.path());
      step = go_on(*engine);
      EXPECT_GE(step, turn) << "a committed step is lost";
      Result found;
      if (step < kLastStep) training_.run(*engine, step, step + 1, found, between(hostility));
      if (++step < kLastStep) training_.step(*engine, step + 1, found);
      text += difference_of_numbers(found, expected_);
      for (auto numbers : {&Result::losses, &Result::norms, &Result::validation})
        (all.*numbers).insert((found.*numbers).begin(), (found.*numbers).end());
    }
    all.state = state_in_store(folder.path(), expected_.state);
    return text + compared(all);
  }

  // The step that the store stands at.
  static std::int64_t go_on(TrainingEngine& engine) {
    const auto stored = engine.stored_step();
    if (!stored) {
      engine.randomise(1);
      engine.commit(0, "start");
      return 0;
    }
    const bool half_done = engine.stored_step_waits();
    engine.restore();
    if (half_done) engine.commit(*stored, "blob");
    return *stored;
  }

  std::string compared(const Result& result) {
    ++counts_.runs;
    counts_.numbers += result.losses.size() + result.norms.size() + result.validation.size();
    counts_.states += result.state.size();
    return difference(result, expected_);
  }

  How how_;
  Training training_;
  Result expected_;
  std::int64_t all_;  // bytes of the arena with everything in RAM
  std::vector<Budget> budgets_;
  Counts counts_;
};

TEST_P(Matrix, HasTheBitsOfThePlanInRam) {
  add_budget("all in RAM", 0);
  for (const int percent : {60, 40, 25})
    add_budget(fmt::format("{} %", percent), all_ * percent / 100);
  const std::int64_t least = smallest(budgets_.back().bytes);
  add_budget(fmt::format("{} %, the least", least * 100 / all_), least);
  EXPECT_GT(counts_.changes, 0) << "the random plans are the searched ones";

  fmt::print("{:>14}", "");
  for (const char* column : kColumns) fmt::print("{:>12}", column);
  fmt::print("   runs with the same bits, whole + interrupted\n");
  for (size_t b = 0; b < budgets_.size(); ++b) {
    fmt::print("{:>14}", budgets_[b].name);
    for (const Hostility hostility : kHostilities) {
      const std::string in_one = whole(budgets_[b], hostility), cut = interrupted(b, hostility);
      const std::string where =
          fmt::format("{}, {}", budgets_[b].name, kColumns[static_cast<size_t>(hostility)]);
      EXPECT_EQ(in_one, "") << where << ", whole";
      EXPECT_EQ(cut, "") << where << ", interrupted";
      fmt::print("{:>8} + {}", in_one.empty() ? 1 : 0, cut.empty() ? 1 : 0);
    }
    fmt::print("\n");
  }
  fmt::print(
      "{} runs in {} processes: {} losses, norms and validations, {} weights and optimizer buffers "
      "compared; {} changes by chance\n",
      counts_.runs, counts_.processes, counts_.numbers, counts_.states, counts_.changes);
}

INSTANTIATE_TEST_SUITE_P(
    Families, Matrix,
    ::testing::Values(std::tuple{"gpt2", DType::bf16, StoreScheme::two_slots, 0.5},
                      std::tuple{"gpt2", DType::f32, StoreScheme::ring, 0.5},
                      std::tuple{"qwen2", DType::bf16, StoreScheme::ring, 0.5},
                      std::tuple{"gemma3_text", DType::bf16, StoreScheme::two_slots, 0.5},
                      std::tuple{"qwen2", DType::bf16, StoreScheme::two_slots, 0.0}),
    [](const auto& info) {
      return fmt::format("{}_{}_{}{}", std::get<0>(info.param), name_of(std::get<1>(info.param)),
                         std::get<2>(info.param) == StoreScheme::ring ? "ring" : "two_slots",
                         std::get<3>(info.param) > 0 ? "" : "_unclipped");
    });

}  // namespace
}  // namespace outsize::train_test
