// Vector kernels of linear's bias gradient; see core/simd.h for how one source serves every ISA.
#pragma once

#include <cstdint>

namespace outsize {

struct LinearKernels {
  // db[c] (+)= sum over rows, in order, of dy[r*columns + c], for c in [begin, end).
  void (*sum_rows_f32)(const float* dy, std::int64_t rows, std::int64_t columns, std::int64_t begin,
                       std::int64_t end, bool accumulate, float* db);
  void (*sum_rows_bf16)(const std::uint16_t* dy, std::int64_t rows, std::int64_t columns,
                        std::int64_t begin, std::int64_t end, bool accumulate, float* db);
};

namespace isa_baseline {
extern const LinearKernels linear_kernels;
}
namespace isa_avx2 {
extern const LinearKernels linear_kernels;
}
namespace isa_avx512 {
extern const LinearKernels linear_kernels;
}

}  // namespace outsize
