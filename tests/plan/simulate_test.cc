// The simulator against two oracles that share no code with it: without slowdowns, the longest path
// through dependencies and resource order; with them, a certificate that any correct timeline
// satisfies.
#include "plan/simulate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/error.h"
#include "random_plan.h"

namespace outsize {
namespace {

using testing_plan::Dice;

Task make_task(Resource resource, double seconds, std::initializer_list<int> after = {}) {
  Task task;
  task.resource = resource;
  task.seconds = seconds;
  task.after = after;
  return task;
}

Plan random_tasks(Dice& dice, int count) {
  Plan plan;
  for (int t = 0; t < count; ++t) {
    // Whole quarters, some of them nothing at all: many tasks then end at the same time.
    Task task = make_task(static_cast<Resource>(dice.between(0, kResourceCount - 1)),
                          0.25 * static_cast<double>(dice.between(0, 8)));
    for (std::int64_t i = t == 0 ? 0 : dice.between(0, 3); i > 0; --i)
      task.after.push_back(static_cast<int>(dice.between(std::max(0, t - 12), t - 1)));
    plan.tasks.push_back(std::move(task));
  }
  return plan;
}

SimulatedMachine random_machine(Dice& dice) {
  SimulatedMachine machine;
  for (auto& row : machine.slowdown)
    for (double& factor : row) factor = 1 + 0.25 * static_cast<double>(dice.between(0, 6));
  return machine;
}

std::vector<TaskTime> longest_path(const Plan& plan) {
  std::vector<TaskTime> times(plan.tasks.size());
  PerResource<double> free{};
  for (size_t t = 0; t < times.size(); ++t) {
    const Task& task = plan.tasks[t];
    double& lane = free[static_cast<size_t>(task.resource)];
    double start = lane;
    for (const int earlier : task.after)
      start = std::max(start, times[static_cast<size_t>(earlier)].end_seconds);
    lane = start + task.seconds;
    times[t] = {start, lane};
  }
  return times;
}

double overlap(const TaskTime& a, const TaskTime& b) {
  return std::max(
      0.0, std::min(a.end_seconds, b.end_seconds) - std::max(a.start_seconds, b.start_seconds));
}

// Work done in a task's span: the span cut at every other task's ends, each piece divided by the
// factor of who is busy in its middle.
double work_done(const Plan& plan, const std::vector<TaskTime>& times,
                 const SimulatedMachine& machine, size_t t) {
  std::vector<double> cuts = {times[t].start_seconds, times[t].end_seconds};
  for (size_t other = 0; other < times.size(); ++other)
    for (const double cut : {times[other].start_seconds, times[other].end_seconds})
      if (overlap(times[t], times[other]) > 0 && cut > cuts[0] && cut < cuts[1])
        cuts.push_back(cut);
  std::sort(cuts.begin(), cuts.end());
  const auto lane = static_cast<size_t>(plan.tasks[t].resource);
  double work = 0;
  for (size_t i = 1; i < cuts.size(); ++i) {
    const double middle = (cuts[i - 1] + cuts[i]) / 2;
    double factor = 1;
    for (size_t other = 0; other < times.size(); ++other) {
      const auto neighbour = static_cast<size_t>(plan.tasks[other].resource);
      if (neighbour != lane && times[other].start_seconds < middle &&
          middle < times[other].end_seconds)
        factor += machine.slowdown[lane][neighbour] - 1;
    }
    work += (cuts[i] - cuts[i - 1]) / factor;
  }
  return work;
}

TEST(Simulate, FollowsTheLongestPathOnRandomPlans) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    Dice dice(seed);
    const Plan plan = random_tasks(dice, static_cast<int>(dice.between(1, 60)));
    const Simulation result = simulate(plan, {});
    const std::vector<TaskTime> expected = longest_path(plan);
    double end = 0, critical = 0;
    for (size_t t = 0; t < expected.size(); ++t) {
      ASSERT_NEAR(result.tasks[t].start_seconds, expected[t].start_seconds, 1e-9) << seed;
      ASSERT_NEAR(result.tasks[t].end_seconds, expected[t].end_seconds, 1e-9) << seed;
      end = std::max(end, expected[t].end_seconds);
    }
    for (const double part : result.critical) critical += part;
    ASSERT_NEAR(result.seconds, end, 1e-9) << seed;
    // Every moment of the step is decided by some task.
    ASSERT_NEAR(critical, end, 1e-9) << seed;
  }
}

TEST(Simulate, ChargesWhatResourcesCostEachOther) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Dice dice(seed);
    const Plan plan = random_tasks(dice, static_cast<int>(dice.between(1, 40)));
    const SimulatedMachine machine = random_machine(dice);
    const Simulation result = simulate(plan, machine);
    PerResource<double> free{}, busy{};
    for (size_t t = 0; t < plan.tasks.size(); ++t) {
      const Task& task = plan.tasks[t];
      const auto lane = static_cast<size_t>(task.resource);
      double ready = free[lane];
      for (const int earlier : task.after)
        ready = std::max(ready, result.tasks[static_cast<size_t>(earlier)].end_seconds);
      ASSERT_EQ(result.tasks[t].start_seconds, ready) << "seed " << seed << " task " << t;
      ASSERT_NEAR(work_done(plan, result.tasks, machine, t), task.seconds, 1e-9)
          << "seed " << seed << " task " << t;
      free[lane] = result.tasks[t].end_seconds;
      busy[lane] += result.tasks[t].end_seconds - result.tasks[t].start_seconds;
    }
    for (size_t lane = 0; lane < kResourceCount; ++lane)
      ASSERT_NEAR(result.busy[lane], busy[lane], 1e-9);
  }
}

TEST(Simulate, AHandWorkedCase) {
  // A read of 1 s beside 2 s of arithmetic that the read slows by half: 1 s passes in which 2/3 s
  // of arithmetic is done, then 4/3 s alone.
  Plan plan;
  plan.tasks = {make_task(Resource::disk_read, 1), make_task(Resource::cpu, 2),
                make_task(Resource::disk_write, 0.5, {1})};
  SimulatedMachine machine;
  machine.slowdown[0][1] = 1.5;
  const Simulation result = simulate(plan, machine);
  EXPECT_NEAR(result.tasks[1].end_seconds, 1 + 4.0 / 3, 1e-12);
  EXPECT_NEAR(result.seconds, 1 + 4.0 / 3 + 0.5, 1e-12);
  EXPECT_EQ(result.limit, Resource::cpu);
  EXPECT_NEAR(result.idle(Resource::cpu), 0.5, 1e-12);
  EXPECT_NEAR(result.critical[2], 0.5, 1e-12);
}

TEST(Simulate, WhatIsCarriedRunsBesideTheNextStep) {
  Plan plan;
  plan.tasks = {make_task(Resource::disk_write, 0.25), make_task(Resource::cpu, 2),
                make_task(Resource::cpu, 1), make_task(Resource::disk_write, 1.5, {2})};
  EXPECT_DOUBLE_EQ(simulate(plan, {}).seconds, 4.5);
  plan.carries = true;
  Simulation step = simulate(plan, {});
  EXPECT_DOUBLE_EQ(step.seconds, 3);
  EXPECT_EQ(step.limit, Resource::cpu);
  EXPECT_DOUBLE_EQ(step.busy[0], 3);
  EXPECT_DOUBLE_EQ(step.busy[2], 1.75);
  EXPECT_DOUBLE_EQ(step.tasks[0].start_seconds, 1.5);  // behind what the step before has left
  EXPECT_DOUBLE_EQ(step.tasks[3].end_seconds, 4.5);
  plan.tasks[1].after_previous = 3;
  step = simulate(plan, {});
  EXPECT_DOUBLE_EQ(step.seconds, 4.5);
  EXPECT_DOUBLE_EQ(step.critical[0] + step.critical[2], 4.5);
  EXPECT_DOUBLE_EQ(step.critical[2], 1.5);
}

TEST(Simulate, TransfersWithoutSecondsTakeTheMachinesRate) {
  Plan plan;
  plan.tasks = {make_task(Resource::disk_read, 0)};
  plan.tasks[0].bytes = 3e9;
  SimulatedMachine machine;
  EXPECT_EQ(simulate(plan, machine).seconds, 0);
  machine.bytes_per_second[1] = 2e9;
  machine.latency_seconds[1] = 0.25;
  EXPECT_DOUBLE_EQ(simulate(plan, machine).seconds, 1.75);
}

TEST(Simulate, EmptyAndImpossiblePlans) {
  EXPECT_EQ(simulate({}, {}).seconds, 0);
  Plan plan;
  plan.tasks = {make_task(Resource::cpu, 1, {1}), make_task(Resource::disk_read, 1, {0})};
  EXPECT_THROW(simulate(plan, {}), Error);  // each waits for the other
  plan.tasks = {make_task(Resource::cpu, 1, {7})};
  EXPECT_THROW(simulate(plan, {}), Error);
}

TEST(Simulate, RepeatsItselfAndIsQuickEnough) {
  Dice dice(5);
  const Plan plan = random_tasks(dice, 10000);
  const SimulatedMachine machine = random_machine(dice);
  const auto begin = std::chrono::steady_clock::now();
  const Simulation first = simulate(plan, machine);
  const auto end = std::chrono::steady_clock::now();
  const Simulation second = simulate(plan, machine);
  for (size_t t = 0; t < plan.tasks.size(); ++t)
    ASSERT_EQ(first.tasks[t].end_seconds, second.tasks[t].end_seconds);
  // Milliseconds; the bound only catches a blow-up, on busy machines and under sanitizers too.
  EXPECT_LT(std::chrono::duration<double>(end - begin).count(), 2.0);
  RecordProperty("microseconds",
                 static_cast<int>(std::chrono::duration<double>(end - begin).count() * 1e6));
}

}  // namespace
}  // namespace outsize
