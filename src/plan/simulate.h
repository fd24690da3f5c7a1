// Plays a plan in virtual time: what the executor does with real kernels, on a machine that is only
// described. Knows no kernel and no file; a task's seconds were priced before (Task::seconds).
#pragma once

#include <vector>

#include "plan/plan.h"

namespace outsize {

// What the simulator must know of a machine.
struct SimulatedMachine {
  // How many times longer a task of the first resource takes while the second is busy; >= 1.
  // Several busy neighbours add up: 1 + sum of (factor - 1).
  PerResource<PerResource<double>> slowdown = no_slowdown();
  // A task without seconds of its own takes latency + bytes / rate; a rate of 0 asks no time.
  PerResource<double> bytes_per_second{};
  PerResource<double> latency_seconds{};

  static constexpr PerResource<PerResource<double>> no_slowdown() {
    PerResource<PerResource<double>> factors{};
    for (auto& row : factors) row.fill(1.0);
    return factors;
  }
};

struct Simulation {
  std::vector<TaskTime> tasks;  // in the order of Plan::tasks; what is carried ends after the step
  double seconds = 0;           // of the step: when the last task ends that is not carried
  PerResource<double> busy{};   // seconds in which the resource has a task
  // Seconds of the step that each resource decides: walking back from the last task, always to the
  // one it waited for.
  PerResource<double> critical{};
  Resource limit = Resource::cpu;  // decides most

  double idle(Resource resource) const { return seconds - busy[static_cast<size_t>(resource)]; }
};

// One worker per resource takes its tasks in the plan's order and waits for `after`, as the
// executor does; where the plan carries, beside what a step before it has left. Deterministic;
// O(tasks + dependencies). Throws Internal when a task waits for one
// that does not exist or can never end.
Simulation simulate(const Plan& plan, const SimulatedMachine& machine);

}  // namespace outsize
