#include "optim/clip.h"

#include <algorithm>
#include <cmath>

#include "optim/kernels.h"
#include "optim/sum_blocks.h"

namespace outsize {

double sum_of_squares(const float* x, std::int64_t n) {
  constexpr std::int64_t kGrain = 65536;  // 256 KiB: a block outlasts its dispatch
  const OptimKernels& kernels = optim_kernels();
  return sum_blocks(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    return kernels.sum_of_squares(x, begin, end);
  });
}

Status clip_scale(double norm, double max_norm, double* scale) {
  if (!std::isfinite(norm) || norm < 0) return Status("[clip] the gradient norm is not finite");
  if (!(max_norm >= 0)) return Status("[clip] max_norm is negative or not a number");
  *scale = std::min(1.0, max_norm / (norm + 1e-6));
  return {};
}

}  // namespace outsize
