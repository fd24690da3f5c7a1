// Runs a plan on memory whose every 64 bytes hold a fingerprint of how they came to be. Two plans
// of the same tasks compute the same if every task reads the same fingerprints in both: an oracle
// for the plan checker that shares none of its reasoning.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "plan/plan.h"

namespace outsize::testing_plan {

struct Outcome {
  using TaskName = std::tuple<TaskKind, int, int, int>;  // kind, call, microbatch, parameter
  bool sound = true;  // every extent lies aligned inside the arena, apart from others of a task
  std::map<TaskName, std::uint64_t> read;  // fingerprint of all that each task read
  std::vector<std::uint64_t> left;         // of every persistent buffer at the end

  bool operator==(const Outcome&) const = default;
};

// Tasks run in the order listed: there is one resource. Contents of workspace are meaningless
// between tasks.
Outcome run_symbolically(const Plan& plan);

}  // namespace outsize::testing_plan
