// Vector kernels of linear: products of few rows, which are bound by reading the weights, and the
// bias gradient. See core/simd.h for how one source serves every ISA.
#pragma once

#include <cstdint>

namespace outsize {

constexpr std::int64_t kMostFewRows = 4;

// y[n,o] = sum over i of x[n,i]·w[o,i] (+ bias[o]) for the outputs [begin, end). y has x's type, or
// is f32. `x` is [rows,in], dense, as `w` [out,in] and `y` [rows,out]; bias may be nullptr. At most
// kMostFewRows rows.
struct FewRows {
  const void* x = nullptr;
  const void* w = nullptr;
  const float* bias = nullptr;
  void* y = nullptr;
  std::int64_t rows = 0, in = 0, out = 0;
};

struct LinearKernels {
  void (*few_rows_f32)(const FewRows& product, std::int64_t begin, std::int64_t end);
  void (*few_rows_bf16)(const FewRows& product, std::int64_t begin, std::int64_t end);
  void (*few_rows_bf16_to_f32)(const FewRows& product, std::int64_t begin, std::int64_t end);
  // part[c] = sum over rows [begin, end) of dy[r*columns + c]; the index is "dy is bf16".
  void (*sum_rows[2])(const void* dy, std::int64_t columns, std::int64_t begin, std::int64_t end,
                      float* part);
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
