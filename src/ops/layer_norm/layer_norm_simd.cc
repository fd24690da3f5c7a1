// Three passes over each row forward, two backward; all but the first find it in the first-level
// cache.
#include "ops/layer_norm/layer_norm_simd.h"

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {
namespace {

template <class T>
float mean_of(const T* x, int64_t width) {
  Sums total = no_sums();
  each_vector_in_turn(0, width, [&](int64_t i, auto lanes, int turn) {
    total.part[turn] += load_ahead(x + i, lanes);
  });
  return sum(total) / static_cast<float>(width);
}

// About the mean, not as a difference of squares: that would cancel where the mean is large.
template <class T>
float variance_of(const T* x, int64_t width, float mean) {
  Sums squares = no_sums();
  each_vector_in_turn(0, width, [&](int64_t i, auto lanes, int turn) {
    const f32x16 away = keep(load(x + i, lanes) - mean, lanes);
    squares.part[turn] = fma(away, away, squares.part[turn]);
  });
  return sum(squares) / static_cast<float>(width);
}

template <class T>
void forward(const void* x_data, const float* w, const float* b, Result y_data, float* mean_data,
             float* rstd_data, int64_t begin, int64_t end, int64_t width, float eps) {
  for (int64_t n = begin; n < end; ++n) {
    const T* x = static_cast<const T*>(x_data) + n * width;
    const Target<T> y = target<T>(y_data, n * width);
    const float mean = mean_of(x, width);
    const float rstd = 1.0f / sqrt(variance_of(x, width, mean) + eps);
    mean_data[n] = mean;
    rstd_data[n] = rstd;
    each_vector(0, width, [=](int64_t i, auto lanes) {
      const f32x16 normal = (load(x + i, lanes) - mean) * rstd;
      store(y, i, fma(normal, load(w + i, lanes), load(b + i, lanes)), lanes);
    });
  }
}

template <class T>
void backward(const void* dy_data, const void* x_data, const float* w, const float* mean_data,
              const float* rstd_data, Result dx_data, float* part, int64_t begin, int64_t end,
              int64_t width) {
  for (int64_t i = 0; i < 2 * width; ++i) part[i] = 0.0f;
  for (int64_t n = begin; n < end; ++n) {
    const T* dy = static_cast<const T*>(dy_data) + n * width;
    const T* x = static_cast<const T*>(x_data) + n * width;
    const Target<T> dx = target<T>(dx_data, n * width);
    const float mean = mean_data[n], rstd = rstd_data[n];
    Sums gs = no_sums(), products = no_sums();
    each_vector_in_turn(0, width, [&](int64_t i, auto lanes, int turn) {
      const f32x16 g = load_ahead(dy + i, lanes) * load(w + i, lanes);
      gs.part[turn] += g;
      products.part[turn] = fma(g, load_ahead(x + i, lanes) - mean, products.part[turn]);
    });
    const float mean_g = sum(gs) / static_cast<float>(width);
    const float mean_gm = rstd * sum(products) / static_cast<float>(width);
    each_vector(0, width, [=](int64_t i, auto lanes) {
      const f32x16 d = load(dy + i, lanes), normal = (load(x + i, lanes) - mean) * rstd;
      store(dx, i, rstd * (d * load(w + i, lanes) - mean_g - normal * mean_gm), lanes);
      store(part + i, fma(d, normal, load(part + i, lanes)), lanes);
      store(part + width + i, load(part + width + i, lanes) + d, lanes);
    });
  }
}

}  // namespace

extern const LayerNormKernels layer_norm_table = {{forward<float>, forward<uint16_t>},
                                                  {backward<float>, backward<uint16_t>}};

}  // namespace outsize::OUTSIZE_ISA
