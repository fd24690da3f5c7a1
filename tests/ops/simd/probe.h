// The functions of core/simd.h as plain calls on arrays, one table per instruction set.
#pragma once

#include <cstdint>

namespace outsize {

struct SimdProbe {
  using Unary = void (*)(const float* x, float* y);  // 16 values each
  Unary exp, exp2, tanh, sigmoid, normal_cdf, rsqrt, abs;
  void (*widen)(const std::uint16_t* x, float* y);
  void (*narrow)(const float* x, std::uint16_t* y);
  void (*copy_n)(const float* x, float* y, int n);
  void (*copy_n_bf16)(const std::uint16_t* x, std::uint16_t* y, int n);
  void (*fma)(const float* a, const float* b, const float* c, float* y);
  // y = a < b ? max(a, b) : min(a, b) in the first n lanes, -1 in the others.
  void (*choose)(const float* a, const float* b, float* y, int n);
  float (*sum)(const float* x);
  float (*max)(const float* x);
};

namespace isa_baseline {
extern const SimdProbe simd_probe;
}
namespace isa_avx2 {
extern const SimdProbe simd_probe;
}
namespace isa_avx512 {
extern const SimdProbe simd_probe;
}

}  // namespace outsize
