// Vector kernels of rms_norm; see core/simd.h for how one source serves every instruction set.
#pragma once

#include <cstdint>

#include "core/streaming.h"

namespace outsize {

// The index is "elements of x, y, dy and dx are bf16". All work on groups [begin, end).
struct RmsNormKernels {
  void (*forward[2])(const void* x, const float* w, Result y, float* rstd, std::int64_t begin,
                     std::int64_t end, std::int64_t size, float eps, float offset);
  // Writes these groups' part of dw to dw_part [size].
  void (*backward[2])(const void* dy, const void* x, const float* w, const float* rstd, Result dx,
                      float* dw_part, std::int64_t begin, std::int64_t end, std::int64_t size,
                      float offset);
};

namespace isa_baseline {
extern const RmsNormKernels rms_norm_table;
}
namespace isa_avx2 {
extern const RmsNormKernels rms_norm_table;
}
namespace isa_avx512 {
extern const RmsNormKernels rms_norm_table;
}

}  // namespace outsize
