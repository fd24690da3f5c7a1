// Vector kernel of rope; see core/simd.h for how one source serves every instruction set.
#pragma once

#include <cstdint>

#include "core/streaming.h"

namespace outsize {

// The index is "elements of x and y are bf16".
struct RopeKernels {
  // Rotates all heads of rows [begin, end); direction is 1, or -1 to rotate back.
  void (*rotate[2])(const void* x, const float* table, Result y, std::int64_t begin,
                    std::int64_t end, std::int64_t heads, std::int64_t head_dim, float direction);
};

namespace isa_baseline {
extern const RopeKernels rope_kernel_table;
}
namespace isa_avx2 {
extern const RopeKernels rope_kernel_table;
}
namespace isa_avx512 {
extern const RopeKernels rope_kernel_table;
}

}  // namespace outsize
