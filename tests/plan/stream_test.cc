// Plans that stream: random programs under random knobs are sound, and what is taken out of them or
// moved within them is found by the checker whenever it does harm.
#include <gtest/gtest.h>

#include <cstdio>
#include <optional>
#include <set>
#include <string>

#include "core/error.h"
#include "core/parallel.h"
#include "plan/check.h"
#include "plan/planner.h"
#include "plan/races.h"
#include "plan/random_plan.h"
#include "plan/search.h"
#include "plan/simulate.h"

namespace outsize::testing_plan {
namespace {

// Any knobs at all, for a request that trains.
void choose_knobs(PlanRequest& request, Dice& dice) {
  const size_t calls = request.program->calls.size();
  PlanKnobs& knobs = request.knobs;
  knobs.durable = true;
  knobs.vertical = dice.chance(0.5);
  for (auto* list : {&knobs.stream_weights, &knobs.stream_state, &knobs.offload_gradients,
                     &knobs.offload_saved}) {
    list->resize(calls);
    for (char& flag : *list) flag = dice.chance(0.6);
  }
  for (size_t call = 0; call < calls; ++call)
    knobs.recompute.push_back(static_cast<Recompute>(dice.between(0, kRecomputeCount - 1)));
  knobs.store_block = kMovedAlignment;
  knobs.piece_elements = 2048;
  knobs.read_ahead_bytes = dice.between(0, 100) << 10;
  knobs.write_behind_bytes = dice.between(0, 100) << 10;
  knobs.fill_bytes = dice.between(0, 1000) << 10;
  knobs.ring = dice.chance(0.5);
  std::vector<UpdateTime> times = {UpdateTime::after_norm, UpdateTime::next_forward};
  if (!knobs.ring) times.push_back(UpdateTime::with_backward);
  knobs.updates = dice.pick(times);
  request.training->clips = knobs.updates != UpdateTime::with_backward;
  std::vector<StepPart> parts = {StepPart::whole};
  if (knobs.deferred()) parts = {StepPart::begin, StepPart::middle, StepPart::end};
  if (knobs.ring) parts.push_back(StepPart::redo);
  request.part = dice.pick(parts);
  if (request.part == StepPart::redo)
    request.first_call = static_cast<int>(dice.between(0, static_cast<std::int64_t>(calls) - 1));
}

// Of a random program under random knobs; absent where it does not train. `dice` goes on from
// there.
std::optional<Plan> random_plan(std::uint64_t seed, Dice& dice) {
  RandomRequest random(seed);
  if (!random.request.training) return std::nullopt;
  choose_knobs(random.request, dice);
  Plan plan = make_plan(random.request);
  if (plan.tasks.size() < 2) return std::nullopt;  // nothing was left to redo
  return plan;
}

bool accepts(const Plan& plan) {
  try {
    check_plan(plan);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// From a slow disk to one as fast as memory, of lanes that disturb each other or do not.
SimulatedMachine random_machine(Dice& dice) {
  SimulatedMachine machine;
  for (double& rate : machine.bytes_per_second)
    rate = 1e5 * static_cast<double>(dice.between(1, 10000));
  for (double& latency : machine.latency_seconds)
    latency = 1e-6 * static_cast<double>(dice.between(0, 1000));
  for (auto& row : machine.slowdown)
    for (double& factor : row) factor = 1 + 0.01 * static_cast<double>(dice.between(0, 300));
  return machine;
}

TEST(StreamedPlans, OfRandomProgramsAreSound) {
  int planned = 0;
  for (std::uint64_t seed = 0; planned < 10000; ++seed) {
    Dice dice(seed + 1000000);
    auto made = random_plan(seed, dice);
    if (!made) continue;
    const Plan& plan = *made;
    EXPECT_NO_THROW(check_plan(plan)) << "seed " << seed;
    const SimulatedMachine machine = random_machine(dice);
    const Simulation step = simulate(plan, machine);
    for (size_t lane = 0; lane < kResourceCount; ++lane)
      EXPECT_LE(step.busy[lane], step.seconds) << "seed " << seed;
    if (planned % 10 == 0) {  // quadratic
      EXPECT_EQ(find_race(plan).value_or(""), "") << "seed " << seed;
    }
    ++planned;
  }
}

// The search under budgets from what everything in RAM takes down to where nothing plans.
TEST(StreamedPlans, OfTheSearchFitRandomBudgetsOnRandomMachines) {
  int fit = 0, refused = 0;
  for (std::uint64_t seed = 0; fit < 500; ++seed) {
    RandomRequest random(seed);
    if (!random.request.training) continue;
    Dice dice(seed + 6000000);
    const std::int64_t all = make_plan(random.request).arena_bytes;
    random.request.budget_bytes = dice.between(1, all);
    const SimulatedMachine machine = random_machine(dice);
    const SearchOptions options{machine, /*may_use_disk=*/true, dice.chance(0.5), dice.chance(0.5)};
    try {
      const SearchResult result = search_plan(random.request, options);
      ++fit;
      EXPECT_LE(result.plan.arena_bytes, random.request.budget_bytes) << "seed " << seed;
      EXPECT_NO_THROW(check_plan(result.plan)) << "seed " << seed;
      std::set<std::string> names;
      for (const Candidate& other : result.candidates) {
        EXPECT_GE(other.seconds, result.candidates.front().seconds) << "seed " << seed;
        EXPECT_TRUE(names.insert(other.name).second) << "seed " << seed << ": " << other.name;
      }
      EXPECT_EQ(simulate(result.plan, machine).seconds, result.candidates.front().seconds)
          << "seed " << seed;
    } catch (const OverBudget& error) {
      ++refused;
      EXPECT_GT(error.arena_bytes(), random.request.budget_bytes) << "seed " << seed;
    }
  }
  std::printf("random budgets: %d planned, %d refused\n", fit, refused);
}

// Of one thread and of three: places, order and times.
TEST(StreamedPlans, OfTheSearchAreTheSameForAnyNumberOfThreads) {
  int found = 0;
  const int threads = thread_count();
  for (std::uint64_t seed = 0; found < 40; ++seed) {
    RandomRequest random(seed);
    if (!random.request.training) continue;
    Dice dice(seed + 8000000);
    random.request.budget_bytes = make_plan(random.request).arena_bytes * 2 / 3;
    const SearchOptions options{random_machine(dice), /*may_use_disk=*/true};
    const auto search = [&](int count) -> std::optional<SearchResult> {
      set_thread_count(count);
      try {
        return search_plan(random.request, options);
      } catch (const OverBudget&) {
        return std::nullopt;
      }
    };
    const auto one = search(1), three = search(3);
    ASSERT_EQ(one.has_value(), three.has_value()) << "seed " << seed;
    if (!one) continue;
    ++found;
    ASSERT_EQ(one->plan.buffers.size(), three->plan.buffers.size()) << "seed " << seed;
    for (size_t b = 0; b < one->plan.buffers.size(); ++b)
      EXPECT_EQ(one->plan.buffers[b].extent.offset, three->plan.buffers[b].extent.offset);
    ASSERT_EQ(one->candidates.size(), three->candidates.size()) << "seed " << seed;
    for (size_t c = 0; c < one->candidates.size(); ++c) {
      EXPECT_EQ(one->candidates[c].name, three->candidates[c].name);
      EXPECT_EQ(one->candidates[c].seconds, three->candidates[c].seconds);
    }
  }
  set_thread_count(threads);
}

// Plans that lack a dependency: those that race, those of them that the checker refuses, the
// others.
struct Dropped {
  int harmful = 0, caught = 0, harmless = 0;

  void judge(const Plan& plan, std::uint64_t seed) {
    const bool races = find_race(plan).has_value(), refused = !accepts(plan);
    harmful += races;
    harmless += !races;
    caught += races && refused;
    EXPECT_TRUE(races || !refused) << "seed " << seed << ": nothing is wrong with it";
  }
};

// Without one dependency: harmless where another chain has the same effect, otherwise found.
TEST(StreamedPlans, MissingDependenciesAreFound) {
  Dropped dropped;
  for (std::uint64_t seed = 0; dropped.harmful < 1500; ++seed) {
    Dice dice(seed + 2000000);
    auto made = random_plan(seed, dice);
    if (!made) continue;
    Plan& plan = *made;
    std::vector<size_t> waiting;
    for (size_t t = 0; t < plan.tasks.size(); ++t)
      if (!plan.tasks[t].after.empty()) waiting.push_back(t);
    if (waiting.empty()) continue;
    auto& after = plan.tasks[dice.pick(waiting)].after;
    after.erase(after.begin() + dice.between(0, static_cast<std::int64_t>(after.size()) - 1));
    dropped.judge(plan, seed);
  }
  std::printf("dropped dependencies: %d harmful, %d caught; %d harmless\n", dropped.harmful,
              dropped.caught, dropped.harmless);
  EXPECT_EQ(dropped.caught, dropped.harmful);
}

// The same of what waits for the run before.
TEST(StreamedPlans, MissingDependenciesOnTheRunBeforeAreFound) {
  Dropped dropped;
  for (std::uint64_t seed = 0; dropped.harmful < 500; ++seed) {
    Dice dice(seed + 5000000);
    auto made = random_plan(seed, dice);
    if (!made) continue;
    Plan& plan = *made;
    std::vector<size_t> waiting;
    for (size_t t = 0; t < plan.tasks.size(); ++t)
      if (plan.tasks[t].after_previous >= 0) waiting.push_back(t);
    if (waiting.empty()) continue;
    plan.tasks[dice.pick(waiting)].after_previous = -1;
    dropped.judge(plan, seed);
  }
  std::printf("dropped dependencies on the run before: %d harmful, %d caught; %d harmless\n",
              dropped.harmful, dropped.caught, dropped.harmless);
  EXPECT_EQ(dropped.caught, dropped.harmful);
}

// What a run leaves must be committed before the next one writes to the store.
TEST(StreamedPlans, ThatCarryCommitFirst) {
  int carrying = 0;
  for (std::uint64_t seed = 0; carrying < 20; ++seed) {
    Dice dice(seed + 7000000);
    auto made = random_plan(seed, dice);
    if (!made || !made->carries) continue;
    ++carrying;
    const auto commit = std::find_if(made->tasks.begin(), made->tasks.end(), [](const Task& task) {
      return task.kind == TaskKind::commit;
    });
    ASSERT_NE(commit, made->tasks.end());
    EXPECT_TRUE(accepts(*made));
    Plan without = *made;
    without.tasks[static_cast<size_t>(commit - made->tasks.begin())].kind = TaskKind::publish;
    EXPECT_FALSE(accepts(without)) << "seed " << seed;
    Plan alone = *made;
    alone.carries = false;
    EXPECT_FALSE(accepts(alone)) << "seed " << seed;
  }
}

// A buffer somewhere else: found whenever it then shares bytes with a task that may run meanwhile.
TEST(StreamedPlans, MovedExtentsAreFound) {
  int harmful = 0, caught = 0;
  for (std::uint64_t seed = 0; harmful < 500; ++seed) {
    Dice dice(seed + 3000000);
    auto made = random_plan(seed, dice);
    if (!made) continue;
    Plan& plan = *made;
    Extent& extent = dice.pick(plan.buffers).extent;
    if (extent.tier != Tier::host || extent.bytes == 0) continue;
    const std::int64_t places = (plan.arena_bytes - extent.bytes) / kMovedAlignment;
    extent.offset = dice.between(0, std::max<std::int64_t>(places, 0)) * kMovedAlignment;
    if (!find_race(plan)) continue;
    ++harmful;
    caught += !accepts(plan);
  }
  std::printf("moved extents: %d harmful, %d caught\n", harmful, caught);
  EXPECT_EQ(caught, harmful);
}

// A task before one that it waits for, or before the one that makes what it reads.
TEST(StreamedPlans, SwappedTasksAreFound) {
  int harmful = 0, caught = 0;
  for (std::uint64_t seed = 0; harmful < 500; ++seed) {
    Dice dice(seed + 4000000);
    auto made = random_plan(seed, dice);
    if (!made) continue;
    Plan& plan = *made;
    const auto t =
        static_cast<size_t>(dice.between(0, static_cast<std::int64_t>(plan.tasks.size()) - 2));
    std::swap(plan.tasks[t], plan.tasks[t + 1]);
    const auto renumber = [t](int& earlier) {
      if (earlier == static_cast<int>(t) || earlier == static_cast<int>(t) + 1)
        earlier = static_cast<int>(2 * t + 1) - earlier;
    };
    for (Task& task : plan.tasks) renumber(task.after_previous);
    for (Task& task : plan.tasks)
      for (int& earlier : task.after) renumber(earlier);
    const auto& first = plan.tasks[t];
    const bool reads_ahead = std::any_of(first.reads.begin(), first.reads.end(), [&](int id) {
      const auto& writes = plan.tasks[t + 1].writes;
      return !plan.buffers[static_cast<size_t>(id)].persistent &&
             std::find(writes.begin(), writes.end(), id) != writes.end() &&
             std::find(plan.tasks[t + 1].reads.begin(), plan.tasks[t + 1].reads.end(), id) ==
                 plan.tasks[t + 1].reads.end();
    });
    if (!reads_ahead) continue;
    ++harmful;
    caught += !accepts(plan);
  }
  std::printf("swapped tasks: %d harmful, %d caught\n", harmful, caught);
  EXPECT_EQ(caught, harmful);
}

// A buffer that loses a part of its bytes is remembered by the rest of them.
TEST(StreamedPlans, WhatIsLeftOfABufferIsRemembered) {
  Plan plan;
  plan.arena_bytes = 4 * kMovedAlignment;
  plan.scratch_bytes = 2 * kMovedAlignment;
  const auto buffer = [&](Tier tier, std::int64_t page, std::int64_t pages, bool persistent) {
    plan.buffers.push_back({"b",
                            BufferKind::activations,
                            {tier, page * kMovedAlignment, pages * kMovedAlignment},
                            persistent,
                            true});
    return static_cast<int>(plan.buffers.size()) - 1;
  };
  const int whole = buffer(Tier::host, 0, 2, false), disk = buffer(Tier::scratch, 0, 2, true);
  const int left = buffer(Tier::host, 0, 1, false), right = buffer(Tier::host, 1, 1, false);
  const int kept = buffer(Tier::host, 3, 1, true);
  plan.tasks.push_back({.writes = {whole}});
  plan.tasks.push_back({.kind = TaskKind::write,
                        .resource = Resource::disk_write,
                        .moves = {{whole, disk, 0, 0, 2 * kMovedAlignment}},
                        .after = {0},
                        .reads = {whole},
                        .writes = {disk}});
  plan.tasks.push_back({.after = {1}, .writes = {left}});
  plan.tasks.push_back({.reads = {left}, .writes = {kept}});
  Plan other = plan;
  plan.tasks.push_back({.writes = {right}});
  plan.tasks.push_back({.reads = {right}, .writes = {kept}});
  EXPECT_TRUE(accepts(plan)) << "the write had ended before the left half was taken";
  other.tasks.push_back({.kind = TaskKind::read,
                         .resource = Resource::disk_read,
                         .moves = {{disk, right, 0, 0, kMovedAlignment}},
                         .after = {1},
                         .reads = {disk},
                         .writes = {right}});
  other.tasks.push_back({.after = {4}, .reads = {right}, .writes = {kept}});
  EXPECT_TRUE(accepts(other));
  other.tasks[4].after = {0};
  EXPECT_FALSE(accepts(other)) << "it may be read over while it is still written out";
}

}  // namespace
}  // namespace outsize::testing_plan
