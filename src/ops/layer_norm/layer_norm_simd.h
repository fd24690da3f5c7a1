// Vector kernels of layer_norm; see core/simd.h for how one source serves every instruction set.
#pragma once

#include <cstdint>

#include "core/streaming.h"

namespace outsize {

// The index is "elements of x, y, dy and dx are bf16". All work on rows [begin, end).
struct LayerNormKernels {
  void (*forward[2])(const void* x, const float* w, const float* b, Result y, float* mean,
                     float* rstd, std::int64_t begin, std::int64_t end, std::int64_t width,
                     float eps);
  // Writes these rows' part of dw, then of db, to part [2·width].
  void (*backward[2])(const void* dy, const void* x, const float* w, const float* mean,
                      const float* rstd, Result dx, float* part, std::int64_t begin,
                      std::int64_t end, std::int64_t width);
};

namespace isa_baseline {
extern const LayerNormKernels layer_norm_table;
}
namespace isa_avx2 {
extern const LayerNormKernels layer_norm_table;
}
namespace isa_avx512 {
extern const LayerNormKernels layer_norm_table;
}

}  // namespace outsize
