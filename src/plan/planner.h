// From program and knobs to plan: the order of the work, what lives in RAM, what comes and goes,
// and where every byte lies. Which knobs are best is the search's question (plan/search.h).
#pragma once

#include <optional>

#include "core/error.h"
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
    double all = 0;
    std::vector<double> targets;  // as Task::seconds and target_seconds
  };
  Seconds forward_seconds, backward_seconds, adding_backward_seconds;
  // Values of the forward graph kept for backward, results of nodes only, in Backward::saved order
  // for those; segment inputs are kept anyway.
  std::vector<ValueType> saved;
  std::vector<int> saved_inputs;         // indices of segment inputs that backward reads
  std::vector<int> output_cotangents;    // indices of segment outputs
  std::vector<int> input_cotangents;     // indices of segment inputs
  std::vector<int> parameter_gradients;  // indices of segment parameters, in Backward's order
  std::vector<int> saved_parameters;     // indices of segment parameters that backward reads
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
  bool elementwise = true;  // a parameter may be updated in pieces (UpdateRule::elementwise)
  bool clips = true;        // updates need the norm of all gradients
  // Only the forward tasks, with weights and optimizer state at the places a training plan of the
  // same program parameters gives them: validation in the arena of a training run.
  bool forward_only = false;
};

// Bytes of the store under one checksum, the least that can be moved.
constexpr std::int64_t kStoreBlock = 1 << 20;

// When a step's updates run: when the norm of all gradients is known; in the forward of the next
// step (StepPart); or each as soon as its gradient is whole, which only TrainingRequest::clips ==
// false allows, and no log (all gradients are in it before the first update).
enum class UpdateTime : char { after_norm, next_forward, with_backward };

// What a plan may choose; none of it changes a bit of what is computed. Lists are per program call,
// those of parameters and their state at the first call that uses them; an empty list means: no
// call.
struct PlanKnobs {
  // All microbatches of a call before the next call; otherwise all calls of a microbatch.
  bool vertical = false;
  std::vector<Recompute> recompute;     // empty: nothing
  std::vector<char> offload_saved;      // what backward reads of forward waits in scratch
  std::vector<char> stream_weights;     // read for each pass, from the store or, without, scratch
  std::vector<char> stream_state;       // optimizer buffers are read for the update
  std::vector<char> offload_gradients;  // from the last backward to the update
  bool durable = false;                 // every step writes all state to the store
  bool ring = false;                    // the store has one spare slot and a log; only if durable
  UpdateTime updates = UpdateTime::after_norm;
  // Of one update, where its memory comes and goes; a multiple of store_block.
  std::int64_t piece_elements = 4 << 20;
  std::int64_t store_block = kStoreBlock;
  std::int64_t read_ahead_bytes = 128 << 20;
  std::int64_t write_behind_bytes = 128 << 20;
  std::int64_t fill_bytes = 0;  // reads run further ahead where less RAM than this is in use

  bool deferred() const { return updates == UpdateTime::next_forward; }
  static bool at(const std::vector<char>& list, int call) {
    return !list.empty() && list[static_cast<size_t>(call)] != 0;
  }
};

// How much of a plan is wanted: the search makes hundreds that nobody runs.
enum class PlanDetail {
  places,  // what fits: neither dependencies nor what the whole plan has besides
  times,   // what simulate() needs
  whole,   // and names and moves
};

struct PlanRequest {
  const Program* program = nullptr;
  std::vector<SegmentProfile> segments;     // per program segment
  std::optional<TrainingRequest> training;  // absent: forward only
  std::int64_t budget_bytes = 0;            // arena limit; 0: none
  // The variants Recompute::cheap and everything, per program segment; empty: there are none.
  std::vector<std::vector<SegmentProfile>> recomputing;
  PlanKnobs knobs;
  PlanDetail detail = PlanDetail::whole;
  // begin, middle and end only with UpdateTime::next_forward, redo only where knobs.ring.
  StepPart part = StepPart::whole;
  int first_call = 0;  // redo: the updates of calls before it are done
};

// Whether some order of microbatches within the whole pass gives every shared parameter its
// gradient contributions in the order that is part of the arithmetic (docs/NUMERICS.md): call by
// call from the last, microbatch by microbatch. False: only vertical plans do.
bool can_be_horizontal(const PlanRequest& request);

// OutOfMemory, with the arena that the plan would have taken.
class OverBudget : public Error {
 public:
  OverBudget(std::int64_t arena_bytes, const std::string& message)
      : Error(ErrorKind::OutOfMemory, message), arena_bytes_(arena_bytes) {}
  std::int64_t arena_bytes() const { return arena_bytes_; }

 private:
  std::int64_t arena_bytes_;
};

// Deterministic. Throws OverBudget, before anything is read or allocated, when the arena exceeds
// the budget; the message says what takes most and the cheapest change that would help.
Plan make_plan(const PlanRequest& request);

}  // namespace outsize
