#include "ops/layer_norm/layer_norm_ref.h"

#include <cmath>

namespace outsize {

void layer_norm_reference(const Attrs& attrs, std::span<const RefTensor> inputs,
                          std::span<const RefTensor> outputs) {
  const std::span<const double> w = inputs[1].data, b = inputs[2].data;
  const size_t width = w.size();
  for (size_t n = 0; n < outputs[1].data.size(); ++n) {
    const double* x = inputs[0].data.data() + n * width;
    double mean = 0, variance = 0;
    for (size_t d = 0; d < width; ++d) mean += x[d] / static_cast<double>(width);
    for (size_t d = 0; d < width; ++d)
      variance += (x[d] - mean) * (x[d] - mean) / static_cast<double>(width);
    const double rstd = 1.0 / std::sqrt(variance + attrs.real("eps"));
    outputs[1].data[n] = mean;
    outputs[2].data[n] = rstd;
    for (size_t d = 0; d < width; ++d)
      outputs[0].data[n * width + d] = (x[d] - mean) * rstd * w[d] + b[d];
  }
}

// With g = dy·w and m = (x − mean)·rstd: dx = rstd·(g − mean(g) − m·mean(g·m)), dw = Σ dy·m, db = Σ
// dy.
void layer_norm_grad_reference(const Attrs&, std::span<const RefTensor> inputs,
                               std::span<const RefTensor> outputs) {
  const std::span<const double> w = inputs[2].data;
  const size_t width = w.size();
  for (size_t n = 0; n < inputs[3].data.size(); ++n) {
    const double* dy = inputs[0].data.data() + n * width;
    const double* x = inputs[1].data.data() + n * width;
    const double mean = inputs[3].data[n], rstd = inputs[4].data[n];
    double mean_g = 0, mean_gm = 0;
    for (size_t d = 0; d < width; ++d) {
      const double g = dy[d] * w[d] / static_cast<double>(width);
      mean_g += g;
      mean_gm += g * (x[d] - mean) * rstd;
    }
    for (size_t d = 0; d < width; ++d) {
      const double normal = (x[d] - mean) * rstd;
      outputs[0].data[n * width + d] = rstd * (dy[d] * w[d] - mean_g - normal * mean_gm);
      outputs[1].data[d] += dy[d] * normal;
      outputs[2].data[d] += dy[d];
    }
  }
}

}  // namespace outsize
