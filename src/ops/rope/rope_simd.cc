// One read and one write of x; the row of angles stays in the cache for all heads.
#include "ops/rope/rope_simd.h"

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {
namespace {

template <class T>
void rotate(const void* x_data, const float* table, Result y_data, int64_t begin, int64_t end,
            int64_t heads, int64_t head_dim, float direction) {
  const int64_t half = head_dim / 2;
  for (int64_t n = begin; n < end; ++n) {
    const float* cosines = table + n * head_dim;
    const float* sines = cosines + half;
    for (int64_t h = n * heads; h < (n + 1) * heads; ++h) {
      const T* x = static_cast<const T*>(x_data) + h * head_dim;
      const Target<T> y1 = target<T>(y_data, h * head_dim);
      const Target<T> y2 = target<T>(y_data, h * head_dim + half);
      each_vector(0, half, [=](int64_t i, auto lanes) {
        const f32x16 cosine = load(cosines + i, lanes);
        const f32x16 sine = load(sines + i, lanes) * direction;
        const f32x16 x1 = load(x + i, lanes), x2 = load(x + half + i, lanes);
        store(y1, i, x1 * cosine - x2 * sine, lanes);
        store(y2, i, x2 * cosine + x1 * sine, lanes);
      });
    }
  }
}

}  // namespace

extern const RopeKernels rope_kernel_table = {{rotate<float>, rotate<uint16_t>}};

}  // namespace outsize::OUTSIZE_ISA
