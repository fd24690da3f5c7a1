// From program to plan. One tier so far: everything lives in RAM, placed by lifetime; tiers,
// streams and recompute menus join here without changing what the plan means.
#pragma once

#include <optional>

#include "graph/differentiate.h"
#include "graph/program.h"
#include "plan/plan.h"

namespace outsize {

// What planning needs to know of a compiled segment; kernels stay out of sight.
struct SegmentProfile {
  std::int64_t forward_scratch_bytes = 0;
  std::int64_t backward_scratch_bytes = 0;
  Cost forward_cost, backward_cost;
  // On the machine that the plan is for; all 0 when none is known. Backward: when its parameter
  // gradients start anew, and when they add to earlier ones.
  struct Seconds {
    double all = 0, targets = 0;  // as Task::seconds and target_seconds
  };
  Seconds forward_seconds, backward_seconds, adding_backward_seconds;
  // Values of the forward graph kept for backward, results of nodes only, in Backward::saved order
  // for those; segment inputs are kept anyway.
  std::vector<ValueType> saved;
  std::vector<int> saved_inputs;         // indices of segment inputs that backward reads
  std::vector<int> output_cotangents;    // indices of segment outputs
  std::vector<int> input_cotangents;     // indices of segment inputs
  std::vector<int> parameter_gradients;  // indices of segment parameters, in Backward's order
  std::vector<int> outputs_again;        // indices of segment outputs
  bool skip_forward = false;             // backward computes every output anew
};

struct StateBytes {
  std::string name;
  std::int64_t bytes = 0;
};

struct TrainingRequest {
  int accumulation = 1;                            // microbatches per step
  std::vector<std::vector<StateBytes>> optimizer;  // per parameter
  std::vector<std::int64_t> update_scratch_bytes;  // per parameter
  std::vector<double> update_seconds;              // per parameter; empty: not known
  double norm_seconds = 0;
  // Only the forward tasks, with weights and optimizer state at the places a training plan of the
  // same program parameters gives them: validation in the arena of a training run.
  bool forward_only = false;
};

struct PlanRequest {
  const Program* program = nullptr;
  std::vector<SegmentProfile> segments;     // per program segment
  std::optional<TrainingRequest> training;  // absent: forward only
  std::int64_t budget_bytes = 0;            // arena limit; 0: none
};

// Deterministic. Throws OutOfMemory, before anything is read or allocated, when the arena exceeds
// the budget; the message says what takes most and the cheapest change that would help.
Plan make_plan(const PlanRequest& request);

}  // namespace outsize
