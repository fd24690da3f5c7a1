// The update rules once more, written plainly in float64 from their formulas.
#pragma once

#include <cstdint>
#include <vector>

#include "optim/update_rule.h"

namespace outsize {

// One parameter; update() makes the next step.
class ReferenceRun {
 public:
  ReferenceRun(const OptimizerOptions& options, const ParameterSpec& spec,
               const std::vector<float>& masters);
  void update(const std::vector<float>& gradient, double lr, double gradient_scale = 1);
  const std::vector<double>& masters() const { return weight_; }

 private:
  void adamw(const std::vector<double>& g, double lr, double decay);
  void sgd(const std::vector<double>& g, double lr, double decay);
  void adafactor(const std::vector<double>& g, double lr, double decay);
  std::vector<double> second_moment(const std::vector<double>& g, double share);

  OptimizerOptions options_;
  ParameterSpec spec_;
  std::vector<double> weight_;
  std::vector<double> first_;   // adamw m, sgd momentum, adafactor row means
  std::vector<double> second_;  // adamw v, adafactor column means or a vector's variances
  double step_ = 0;
};

}  // namespace outsize
