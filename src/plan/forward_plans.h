// Plans of programs that only run forward over the same weights, in one arena: chunks of a text of
// several sizes, say. Which weights stay in RAM is decided here, for all of them alike.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/planner.h"

namespace outsize {

struct ForwardPlans {
  std::vector<Plan> plans;       // one per request; empty: none fits
  std::int64_t arena_bytes = 0;  // of the largest; where none fits, a budget that would
};

// Requests: without training and knobs; programs with the same parameters and calls, in the same
// order. Everything stays in RAM where that fits the budget (bytes of the arena; 0: none).
// Otherwise, with `may_stream`, the weights of as few calls as possible lie in scratch and are read
// for each use. Those of parameters that several calls use stay first, then large ones, then
// calls evenly in between those that are read. Deterministic.
ForwardPlans plan_forward(std::vector<PlanRequest> requests, std::int64_t budget_bytes,
                          bool may_stream);

}  // namespace outsize
