// A tiny model of each family with a batch, compiled, planned and stepped by exec alone: what the
// executor's tests compare.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "exec/executor.h"
#include "models/model.h"

namespace outsize::exec_test {

inline constexpr const char* kFamilies[] = {"gpt2", "llama", "qwen2", "gemma3_text"};

std::unique_ptr<Model> tiny_model(const std::string& family, std::int64_t layers = 3);

struct TrainingSetup {
  std::string family = "llama";
  DType dtype = DType::f32;
  std::int64_t rows = 2, length = 24, layers = 3;
  int accumulation = 2;
  double lr = 0.05;
  CompileOptions compile{.training = true};
  Recompute recompute = Recompute::nothing;  // of every call
};

class TinyTraining {
 public:
  explicit TinyTraining(const TrainingSetup& setup);

  // One SGD step on the batches of that step number; returns the mean loss.
  double step(std::int64_t number);
  // All gradients of the last step, one after another in program order.
  const std::vector<float>& gradients() const { return gradients_; }
  // Bytes of all weights.
  std::string weights() const;
  // Overwrites every buffer that need not live from step to step.
  void poison(unsigned char byte);

  Executor& executor() { return *executor_; }
  const Plan& plan() const { return executor_->plan(); }
  std::int64_t target_tokens() const { return target_tokens_; }

 private:
  void write_weights();
  void write_batch(int microbatch, std::int64_t number);

  TrainingSetup setup_;
  std::unique_ptr<Model> model_;
  Program program_;
  std::unique_ptr<UpdateRule> rule_;
  std::unique_ptr<CompiledProgram> compiled_;
  std::shared_ptr<HostArena> arena_;
  std::unique_ptr<Executor> executor_;
  std::vector<float> gradients_;
  std::int64_t target_tokens_ = 0;
};

}  // namespace outsize::exec_test
