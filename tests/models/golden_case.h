// A family's golden: a tiny model, a packed batch, and what exact arithmetic makes of them
// (tests/golden/make_model_goldens.py says how it was computed and what the files hold).
#pragma once

#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "data/batch.h"
#include "models/model.h"
#include "optim/update_rule.h"
#include "train/load_weights.h"

namespace outsize::testing_models {

// f32, by parameter name.
using Tensors = std::map<std::string, std::vector<float>>;

struct Tolerances {
  double logits = 0, loss = 0;              // absolute: norm of the error
  std::map<std::string, double> gradients;  // by kind_of(name)
  std::map<std::string, double> weights;
};

struct Golden {
  explicit Golden(const std::string& family);

  std::string folder;
  std::unique_ptr<Model> model;
  std::shared_ptr<const WeightReader> weights;
  std::int64_t rows = 0, length = 0;
  Batch batch;
  std::vector<std::int32_t> prompt;
  std::vector<float> logits;  // [prompt, vocabulary]
  std::vector<double> losses, norms;
  Tensors first_gradients, last_weights;
  std::set<std::string> vanishing;  // parameters whose gradient is zero but for rounding
  Tolerances bf16;
  OptimizerOptions optimizer;
  int steps = 0;
  double lr = 0, clip = 0;

  // The batch as `rows` microbatches of one row each.
  std::vector<Batch> by_rows() const;
};

// Families that have a golden.
std::vector<std::string> golden_families();

// Tensors that differ only in their layer are of one kind: "h.0.x" and "h.1.x" are "h.*.x".
std::string kind_of(const std::string& name);

// Norm of the difference; infinite when sizes differ or a value is not finite.
double error_norm(std::span<const float> got, std::span<const float> expected);
double norm(std::span<const float> values);

}  // namespace outsize::testing_models
