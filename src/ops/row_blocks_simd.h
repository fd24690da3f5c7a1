// Vector kernel of row_blocks; see core/simd.h for how one source serves every instruction set.
#pragma once

#include <cstdint>

namespace outsize {

struct RowBlockKernels {
  // sums[i] (+)= parts[i] + parts[width + i] + … of `count` parts, in order, for i in [begin, end).
  void (*add_up)(const float* parts, std::int64_t count, std::int64_t width, std::int64_t begin,
                 std::int64_t end, bool accumulate, float* sums);
};

namespace isa_baseline {
extern const RowBlockKernels row_block_kernels;
}
namespace isa_avx2 {
extern const RowBlockKernels row_block_kernels;
}
namespace isa_avx512 {
extern const RowBlockKernels row_block_kernels;
}

}  // namespace outsize
