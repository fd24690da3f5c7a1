// A run planned under other circumstances than its own, to see what they would cost. Weights are
// not read, and no memory is taken but for the plan itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "config/run_config.h"
#include "machine/machine.h"
#include "models/model.h"
#include "train/engine.h"

namespace outsize {

struct Trial {
  bool fits = false;
  std::int64_t memory_bytes = 0;  // the budget, for the whole process
  // What of it is used. Where no plan fits, the least that was found to be needed; where it is the
  // disk that is too small, a guess.
  std::int64_t peak_bytes = 0;
  std::string way;                           // as Candidate::name
  double seconds = 0;                        // of a step; means nothing without a machine
  double read_bytes = 0, written_bytes = 0;  // of a step
  std::int64_t store_bytes = 0;              // one copy of the state; 0: it lives in RAM
  bool recomputes = false;                   // some forward results, for lack of room

  bool all_in_ram() const { return store_bytes == 0 && !recomputes; }
};
// The plan of an engine that was made by search, under this budget.
Trial trial_of(const TrainingEngine& engine, std::int64_t memory_bytes);

class Trials {
 public:
  // `base`: how the run itself is planned; its machine must outlive this, as the model must. A
  // configuration without budget.memory gets what `base` allows.
  Trials(const Model& model, const RunConfig& config, const PlanningOptions& base);

  const RunConfig& config() const { return config_; }       // with a budget.memory
  const Machine* machine() const { return base_.machine; }  // absent: none is known
  // Does it tell seconds?
  bool timed() const { return base_.machine != nullptr; }

  // Plans a changed configuration; budget.memory must be set. `machine`: in place of the run's own.
  // Deterministic.
  Trial plan(const RunConfig& config, const Machine* machine = nullptr) const;
  Trial plan_with(std::int64_t memory_bytes) const;
  // The smallest budget that plans, to one in a hundred.
  Trial smallest() const;
  // The smallest that keeps everything in RAM.
  Trial resident() const;

 private:
  const Model& model_;
  RunConfig config_;
  PlanningOptions base_;
};

// Bytes moved in a step of the plan.
struct Traffic {
  double read = 0, written = 0;
};
Traffic traffic_of(const Plan& plan);

// "1660MiB", the least whole number that holds the bytes: as budget.memory takes it.
std::string whole_mebibytes(std::int64_t bytes);

}  // namespace outsize
