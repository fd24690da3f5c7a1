// Calls every vector function on arrays, for each instruction set.
#include "core/simd.h"

#include "probe.h"

namespace outsize::OUTSIZE_ISA {

extern const SimdProbe simd_probe = {
    .exp = [](const float* x, float* y) { store(y, exp(load(x))); },
    .exp2 = [](const float* x, float* y) { store(y, exp2(load(x))); },
    .tanh = [](const float* x, float* y) { store(y, tanh(load(x))); },
    .sigmoid = [](const float* x, float* y) { store(y, sigmoid(load(x))); },
    .normal_cdf = [](const float* x, float* y) { store(y, normal_cdf(load(x))); },
    .rsqrt = [](const float* x, float* y) { store(y, rsqrt(load(x))); },
    .abs = [](const float* x, float* y) { store(y, abs(load(x))); },
    .widen = [](const uint16_t* x, float* y) { store(y, load(x)); },
    .narrow = [](const float* x, uint16_t* y) { store(y, load(x)); },
    .copy_n = [](const float* x, float* y, int n) { store_n(y, load_n(x, n), n); },
    .copy_n_bf16 = [](const uint16_t* x, uint16_t* y, int n) { store_n(y, load_n(x, n), n); },
    .fma = [](const float* a, const float* b, const float* c,
              float* y) { store(y, fma(load(a), load(b), load(c))); },
    .choose =
        [](const float* a, const float* b, float* y, int n) {
          const f32x16 va = load(a), vb = load(b);
          const f32x16 chosen = select(less(va, vb), max(va, vb), min(va, vb));
          store(y, select(first_lanes(n), chosen, splat(-1.0f)));
        },
    .sum = [](const float* x) { return sum(load(x)); },
    .max = [](const float* x) { return max(load(x)); },
};

}  // namespace outsize::OUTSIZE_ISA
