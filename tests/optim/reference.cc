#include "optim/reference.h"

#include <algorithm>
#include <cmath>

namespace outsize {
namespace {

double mean_of_squares(const std::vector<double>& x) {
  double sum = 0;
  for (double value : x) sum += value * value;
  return sum / static_cast<double>(x.size());
}

}  // namespace

ReferenceRun::ReferenceRun(const OptimizerOptions& options, const ParameterSpec& spec,
                           const std::vector<float>& masters)
    : options_(options),
      spec_(spec),
      weight_(masters.begin(), masters.end()),
      first_(masters.size()),
      second_(masters.size()) {}

void ReferenceRun::update(const std::vector<float>& gradient, double lr, double gradient_scale) {
  ++step_;
  std::vector<double> g(gradient.begin(), gradient.end());
  for (double& value : g) value *= gradient_scale;
  const double decay = spec_.decay ? options_.weight_decay : 0;
  if (options_.name == "adamw") adamw(g, lr, decay);
  if (options_.name == "sgd") sgd(g, lr, decay);
  if (options_.name == "adafactor") adafactor(g, lr, decay);
}

void ReferenceRun::adamw(const std::vector<double>& g, double lr, double decay) {
  const double correction1 = 1 - std::pow(options_.beta1, step_);
  const double correction2 = 1 - std::pow(options_.beta2, step_);
  for (size_t i = 0; i < g.size(); ++i) {
    first_[i] = options_.beta1 * first_[i] + (1 - options_.beta1) * g[i];
    second_[i] = options_.beta2 * second_[i] + (1 - options_.beta2) * g[i] * g[i];
    weight_[i] -= lr * decay * weight_[i];
    weight_[i] -=
        lr * (first_[i] / correction1) / (std::sqrt(second_[i] / correction2) + options_.eps);
  }
}

void ReferenceRun::sgd(const std::vector<double>& g, double lr, double decay) {
  for (size_t i = 0; i < g.size(); ++i) {
    const double gradient = g[i] + decay * weight_[i];
    first_[i] = step_ == 1 ? gradient : options_.momentum * first_[i] + gradient;
    weight_[i] -= lr * (options_.nesterov ? gradient + options_.momentum * first_[i] : first_[i]);
  }
}

std::vector<double> ReferenceRun::second_moment(const std::vector<double>& g, double share) {
  std::vector<double> result(g.size());
  if (spec_.shape.ndim() < 2) {
    for (size_t i = 0; i < g.size(); ++i)
      result[i] = second_[i] += share * (g[i] * g[i] - second_[i]);
    return result;
  }
  const size_t rows = static_cast<size_t>(spec_.shape[-2]);
  const size_t cols = static_cast<size_t>(spec_.shape[-1]);
  for (size_t at = 0; at < g.size(); at += rows * cols) {
    double* row = &first_[at];
    double* column = &second_[at];
    const double eps1 = options_.eps1.value_or(0x1p-23);
    double mean = 0;
    for (size_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (size_t c = 0; c < cols; ++c) sum += g[at + r * cols + c] * g[at + r * cols + c];
      row[r] += share * (sum / static_cast<double>(cols) - row[r]);
      mean += row[r] / static_cast<double>(rows);
    }
    for (size_t c = 0; c < cols; ++c) {
      double sum = 0;
      for (size_t r = 0; r < rows; ++r) sum += g[at + r * cols + c] * g[at + r * cols + c];
      column[c] += share * (sum / static_cast<double>(rows) - column[c]);
    }
    for (size_t r = 0; r < rows; ++r)
      for (size_t c = 0; c < cols; ++c)
        result[at + r * cols + c] = row[r] * column[c] / std::max(mean, eps1);
  }
  return result;
}

void ReferenceRun::adafactor(const std::vector<double>& g, double lr, double decay) {
  const double eps1 = options_.eps1.value_or(0x1p-23);
  const double alpha = std::max(options_.eps2, std::sqrt(mean_of_squares(weight_))) *
                       std::min(lr, 1 / std::sqrt(step_));
  std::vector<double> update = second_moment(g, std::pow(step_, -options_.decay_rate));
  for (size_t i = 0; i < g.size(); ++i)
    update[i] = g[i] / std::sqrt(std::max(update[i], eps1 * eps1));
  const double excess = std::max(1.0, std::sqrt(mean_of_squares(update)) / options_.clip_threshold);
  for (size_t i = 0; i < g.size(); ++i)
    weight_[i] = weight_[i] * (1 - lr * decay) - alpha / excess * update[i];
}

}  // namespace outsize
