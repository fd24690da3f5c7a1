// An oracle for dependencies that shares nothing with planner and checker: which pairs of tasks may
// run at the same time, by the transitive closure of order and dependencies, and whether any such
// pair touches the same bytes. Of a plan that carries, over two runs. Quadratic; for small plans.
#pragma once

#include <optional>
#include <string>

#include "plan/plan.h"

namespace outsize::testing_plan {

// The first pair found that may run at the same time although one writes what the other uses.
std::optional<std::string> find_race(const Plan& plan);

}  // namespace outsize::testing_plan
