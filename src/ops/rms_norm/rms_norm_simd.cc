// Two passes over each group; the second finds it in the first-level cache, so memory is read once.
#include "ops/rms_norm/rms_norm_simd.h"

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {
namespace {

template <class T>
void forward(const void* x_data, const float* w, Result y_data, float* rstd_data, int64_t begin,
             int64_t end, int64_t size, float eps, float offset) {
  for (int64_t group = begin; group < end; ++group) {
    const T* x = static_cast<const T*>(x_data) + group * size;
    const Target<T> y = target<T>(y_data, group * size);
    Sums squares = no_sums();
    each_vector_in_turn(0, size, [&](int64_t i, auto lanes, int turn) {
      const f32x16 value = load_ahead(x + i, lanes);
      squares.part[turn] = fma(value, value, squares.part[turn]);
    });
    const float rstd = 1.0f / sqrt(sum(squares) / static_cast<float>(size) + eps);
    rstd_data[group] = rstd;
    each_vector(0, size, [=](int64_t i, auto lanes) {
      store(y, i, load(x + i, lanes) * rstd * (load(w + i, lanes) + offset), lanes);
    });
  }
}

template <class T>
void backward(const void* dy_data, const void* x_data, const float* w, const float* rstd_data,
              Result dx_data, float* dw_part, int64_t begin, int64_t end, int64_t size,
              float offset) {
  for (int64_t i = 0; i < size; ++i) dw_part[i] = 0.0f;
  for (int64_t group = begin; group < end; ++group) {
    const T* dy = static_cast<const T*>(dy_data) + group * size;
    const T* x = static_cast<const T*>(x_data) + group * size;
    const Target<T> dx = target<T>(dx_data, group * size);
    Sums products = no_sums();
    each_vector_in_turn(0, size, [&](int64_t i, auto lanes, int turn) {
      const f32x16 g = load_ahead(dy + i, lanes) * (load(w + i, lanes) + offset);
      products.part[turn] = fma(g, load_ahead(x + i, lanes), products.part[turn]);
    });
    const float rstd = rstd_data[group];
    const float mean = rstd * sum(products) / static_cast<float>(size);
    each_vector(0, size, [=](int64_t i, auto lanes) {
      const f32x16 d = load(dy + i, lanes), normal = load(x + i, lanes) * rstd;
      store(dx, i, rstd * (d * (load(w + i, lanes) + offset) - normal * mean), lanes);
      store(dw_part + i, fma(d, normal, load(dw_part + i, lanes)), lanes);
    });
  }
}

}  // namespace

extern const RmsNormKernels rms_norm_table = {{forward<float>, forward<uint16_t>},
                                              {backward<float>, backward<uint16_t>}};

}  // namespace outsize::OUTSIZE_ISA
