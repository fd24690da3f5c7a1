// A model made ready to train, evaluate or generate: program, plan, executor and weights together.
// Knows nothing of files, configuration or progress; those are the run's (train/run.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "costs/cost_model.h"
#include "data/batch.h"
#include "exec/executor.h"
#include "models/model.h"
#include "optim/update_rule.h"
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

class TrainingEngine {
 public:
  // Plans first: throws OutOfMemory before any memory is taken when the plan exceeds `budget_bytes`
  // (0: none), InvalidArgument when the sequence is longer than the model allows.
  // With `costs`, needed only meanwhile, the plan's tasks are priced.
  TrainingEngine(const Model& model, const TrainingShape& shape, const OptimizerOptions& optimizer,
                 std::int64_t budget_bytes, const CostModel* costs = nullptr);

  const Program& program() const { return program_; }
  const Plan& plan() const { return plan_; }
  // Arena of all phases; takes memory on first use.
  std::int64_t arena_bytes() const { return arena_bytes_; }
  // Model FLOPs of one step with a target everywhere: 6 per parameter and token, and causal
  // attention.
  double model_flops() const;
  // The same with the head's part for positions that have a target alone.
  double step_flops(std::int64_t target_tokens) const;

  // Maps the arena. Call once, before everything below.
  void allocate();
  void load(const WeightReader& reader);
  void randomise(std::uint64_t seed);

  // One update on `accumulation` microbatches with `target_tokens` targets together. Returns the
  // mean loss per target token. Throws as Executor::run.
  double step(std::span<const Batch> batches, std::int64_t target_tokens, const StepArgs& args);
  double gradient_norm() const { return executor_->gradient_norm(); }
  // Adds one batch to the totals; weights do not change.
  void evaluate(const Batch& batch, EvaluationTotals& totals);

  // Everything a checkpoint holds, in program order.
  std::vector<NamedMemory> state() const;
  Executor& executor() { return *executor_; }

 private:
  void plan_training(std::int64_t budget_bytes, const CostModel* costs);
  void price_updates(const CostModel& costs, TrainingRequest& training) const;
  MasterMemory master(int parameter) const;

  const Model& model_;
  TrainingShape shape_;
  Program program_, evaluation_program_;
  std::unique_ptr<UpdateRule> rule_;
  std::vector<ParameterSpec> specs_;
  std::unique_ptr<CompiledProgram> compiled_, compiled_evaluation_;
  Plan plan_, evaluation_plan_;
  std::int64_t arena_bytes_ = 0;
  std::shared_ptr<HostArena> arena_;
  std::unique_ptr<Executor> executor_, evaluator_;
};

// Forward only, with its own weights: `outsize eval`.
class EvaluationEngine {
 public:
  // Throws as TrainingEngine.
  EvaluationEngine(const Model& model, std::int64_t rows, std::int64_t sequence_length, DType dtype,
                   std::int64_t budget_bytes);
  const Plan& plan() const { return executor_->plan(); }
  void load(const WeightReader& reader);
  void evaluate(const Batch& batch, EvaluationTotals& totals);

 private:
  const Model& model_;
  Program program_;
  std::unique_ptr<CompiledProgram> compiled_;
  std::unique_ptr<Executor> executor_;
};

// Throws InvalidArgument when `tokens` positions are more than the model knows (learned positions).
void check_context(const Model& model, std::int64_t tokens);

}  // namespace outsize
