// A model made ready to train, evaluate or generate: program, plan, executor and weights together.
// Knows nothing of files, configuration or progress; those are the run's (train/run.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "costs/cost_model.h"
#include "data/batch.h"
#include "exec/executor.h"
#include "machine/machine.h"
#include "models/model.h"
#include "optim/update_rule.h"
#include "plan/search.h"
#include "train/durable_state.h"
#include "train/forward_engine.h"
#include "train/load_weights.h"
#include "weights/checkpoint.h"

namespace outsize {

struct TrainingShape {
  std::int64_t rows = 1;             // per microbatch
  std::int64_t sequence_length = 1;  // tokens per row
  int accumulation = 1;              // microbatches per step
  DType dtype = DType::f32;
  bool with_evaluation = false;  // plan validation in the same arena
};

struct EvaluationTotals {
  double loss_sum = 0;  // nats
  std::int64_t target_tokens = 0;
};

// How a run is to be planned.
struct PlanningOptions {
  std::int64_t budget_bytes = 0;     // of the arena; 0: none
  const Machine* machine = nullptr;  // absent: one with typical rates; needed only meanwhile
  bool may_use_disk = false;         // what does not fit in RAM may come and go
  bool durable = false;              // the run has a store already and goes on with it
  bool clips = true;                 // steps may clip their gradients' norm: updates wait for it
  // Its layout, or the one that a new store shall have; absent: two slots where they fit.
  std::optional<StoreScheme> store = {};
  std::optional<std::int64_t> disk_bytes = {};  // room for a new store and scratch; absent: enough
  std::optional<PlanKnobs> knobs = {};          // in place of a search
};

// OutOfMemory: plans fit the RAM, but the disk has no room for their state in any layout.
class DiskTooSmall : public Error {
 public:
  explicit DiskTooSmall(const std::string& message) : Error(ErrorKind::OutOfMemory, message) {}
};

class TrainingEngine {
 public:
  // Plans first: throws OutOfMemory before any memory is taken when no plan fits budget and disk,
  // InvalidArgument when the sequence is longer than the model allows.
  TrainingEngine(const Model& model, const TrainingShape& shape, const OptimizerOptions& optimizer,
                 const PlanningOptions& options);
  TrainingEngine(const Model& model, const TrainingShape& shape, const OptimizerOptions& optimizer,
                 std::int64_t budget_bytes)
      : TrainingEngine(model, shape, optimizer, PlanningOptions{.budget_bytes = budget_bytes}) {}

  const Program& program() const { return program_; }
  const Plan& plan() const { return plan_; }
  const PlanKnobs& knobs() const { return knobs_; }
  // What else would have fit, the plan's own first.
  const std::vector<Candidate>& candidates() const { return candidates_; }
  // Every step becomes durable: the plan keeps the state in a store, not in checkpoints.
  bool durable() const { return plan_.store_bytes > 0; }
  // Bytes of the store's file, in the plan's layout or another one.
  std::int64_t store_file_bytes(std::optional<StoreScheme> scheme = {}) const;
  // And of what else the plan keeps on disk.
  std::int64_t scratch_bytes() const;
  // Arena of all phases; takes memory on first use.
  std::int64_t arena_bytes() const { return arena_bytes_; }
  // Weights and optimizer buffers, all of them: what a checkpoint holds.
  std::int64_t state_bytes() const;
  // Model FLOPs of one step with a target everywhere: 6 per parameter and token, and causal
  // attention.
  double model_flops() const;
  // The same with the head's part for positions that have a target alone.
  double step_flops(std::int64_t target_tokens) const;

  // Maps the arena. Call once, before everything below. A durable plan opens or makes its store in
  // `folder`; throws as DurableState.
  void allocate(const std::string& folder = {}, const StoreOptions& options = {},
                Disk* disk = nullptr);
  void load(const WeightReader& reader);
  void randomise(std::uint64_t seed);

  // Durable plans. The step that the store stands at; absent when nothing was committed: then load
  // or randomise, and commit step 0.
  std::optional<std::int64_t> stored_step() const;
  std::string stored_blob() const;
  // In place of load: what a checkpoint of this run holds. Commit it as the checkpoint's step.
  void import(const std::string& checkpoint);
  // Brings to RAM what lives there. Where a crash has cut a step short whose gradients are in the
  // store's log, makes its other updates: that is the stored step then, its bytes are those of
  // `record`, and it wants to be committed.
  void restore();
  bool stored_step_waits() const { return durable_ && durable_->half_step().has_value(); }
  // Makes the state durable as that of `step`, with the caller's bytes. Nothing where it is so: a
  // plan that defers updates and keeps a log commits a step within the next one, with the bytes
  // of `record`. Throws Io.
  void commit(std::int64_t step, std::string_view blob);
  // The same of the step that was made last, where the plan carries within the next one, which then
  // need not wait for its last writes.
  void commit_with_next(std::int64_t step, std::string_view blob);
  // With a log: the caller's bytes for the step that is about to be made, from its loss; called in
  // a lane. Absent: none.
  std::function<std::string(double loss)> record;

  // One update on `accumulation` microbatches with `target_tokens` targets together. Returns the
  // mean loss per target token. Throws as Executor::run, after which a plan whose updates run with
  // backward has changed some weights and not others: load again, or make a new engine where state
  // is durable. A plan that defers updates makes this one in the next step, or in finish_updates.
  double step(std::span<const Batch> batches, std::int64_t target_tokens, const StepArgs& args);
  double gradient_norm() const { return executor_->gradient_norm(); }
  // No update waits any more: call before evaluation, and before state() and commit of the step.
  void finish_updates();
  bool updates_wait() const { return pending_.has_value(); }
  // Nothing is under way any more: call before looking at the executor's times.
  void settle();
  // Adds one batch to the totals; weights do not change.
  void evaluate(const Batch& batch, EvaluationTotals& totals);

  // Everything a checkpoint holds, in program order; not for durable plans.
  std::vector<NamedMemory> state() const;
  // Of a step; where updates are deferred, of one that has another before it.
  Executor& executor() { return *executor_; }
  // That one, those of the first step and of the last updates, where updates are deferred, and that
  // of validation: tests look into all of them.
  std::vector<Executor*> executors() const;

 private:
  void plan_training(const PlanningOptions& options);
  PlanRequest choose_store(const PlanRequest& request, const PlanningOptions& options,
                           const SimulatedMachine& machine);
  void plan_redo(int first_call);
  void connect(Executor& executor);
  double loss() const;
  TrainingRequest training_request(const CostModel& costs, bool clips);
  void price_updates(const CostModel& costs, TrainingRequest& training) const;
  void plan_deferred(PlanRequest request);
  void plan_evaluation(PlanRequest request);
  void run_step(const StepArgs& args);
  MasterMemory master(int parameter) const;
  void take_weights(const std::function<void(const WeightSink&)>& produce);

  const Model& model_;
  TrainingShape shape_;
  Program program_, evaluation_program_;
  std::unique_ptr<UpdateRule> rule_;
  std::vector<ParameterSpec> specs_;
  std::unique_ptr<CompiledProgram> compiled_, compiled_evaluation_;
  Plan plan_, evaluation_plan_;
  Plan begin_plan_, end_plan_;       // where updates are deferred
  std::optional<PlanRequest> redo_;  // with a log
  Plan redo_plan_;                   // all of it, or what a crash has left
  PlanKnobs knobs_;
  std::vector<Candidate> candidates_;
  std::int64_t arena_bytes_ = 0;
  std::unique_ptr<DurableState> durable_;  // before the executors, which use it
  std::shared_ptr<HostArena> arena_;
  std::unique_ptr<Executor> executor_, evaluator_;
  std::unique_ptr<Executor> begin_, end_;  // where updates are deferred
  std::optional<PendingUpdates> pending_;
  std::int64_t target_tokens_ = 1;  // of the step
};

// Forward only, with its own weights: `outsize eval`.
class EvaluationEngine {
 public:
  // Throws as ForwardEngine, and as TrainingEngine for a sequence that is too long.
  EvaluationEngine(const Model& model, std::int64_t rows, std::int64_t sequence_length, DType dtype,
                   const ForwardOptions& options);
  const ForwardEngine& engine() const { return engine_; }
  void load(const WeightReader& reader) { engine_.load(model_, reader); }
  void evaluate(const Batch& batch, EvaluationTotals& totals);

 private:
  const Model& model_;
  ForwardEngine engine_;
};

// Throws InvalidArgument when `tokens` positions are more than the model knows (learned positions).
void check_context(const Model& model, std::int64_t tokens);

}  // namespace outsize
