#include "ops/rms_norm/rms_norm_ref.h"

#include <cmath>

namespace outsize {

void rms_norm_reference(const Attrs& attrs, std::span<const RefTensor> inputs,
                        std::span<const RefTensor> outputs) {
  const std::span<const double> x = inputs[0].data, w = inputs[1].data;
  const size_t size = w.size();
  for (size_t group = 0; group < outputs[1].data.size(); ++group) {
    double squares = 0;
    for (size_t k = 0; k < size; ++k) squares += x[group * size + k] * x[group * size + k];
    const double rstd = 1.0 / std::sqrt(squares / static_cast<double>(size) + attrs.real("eps"));
    outputs[1].data[group] = rstd;
    for (size_t k = 0; k < size; ++k)
      outputs[0].data[group * size + k] =
          x[group * size + k] * rstd * (attrs.real("weight_offset") + w[k]);
  }
}

// With g = dy·(offset + w) and n = x·rstd: dx = rstd·(g − n·mean(g·n)), dw = Σ dy·n.
void rms_norm_grad_reference(const Attrs& attrs, std::span<const RefTensor> inputs,
                             std::span<const RefTensor> outputs) {
  const std::span<const double> dy = inputs[0].data, x = inputs[1].data, w = inputs[2].data;
  const double offset = attrs.real("weight_offset");
  const size_t size = w.size();
  for (size_t group = 0; group < inputs[3].data.size(); ++group) {
    const double rstd = inputs[3].data[group];
    double mean = 0;
    for (size_t k = 0; k < size; ++k) {
      const size_t i = group * size + k;
      mean += dy[i] * (offset + w[k]) * x[i] * rstd / static_cast<double>(size);
    }
    for (size_t k = 0; k < size; ++k) {
      const size_t i = group * size + k;
      outputs[0].data[i] = rstd * (dy[i] * (offset + w[k]) - x[i] * rstd * mean);
      outputs[1].data[k] += dy[i] * x[i] * rstd;
    }
  }
}

}  // namespace outsize
