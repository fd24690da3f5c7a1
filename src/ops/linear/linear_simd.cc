// Products of few rows: one output at a time, 32 terms in registers. Column sums for the bias
// gradient: a block of rows as they lie, its sums in the first-level cache.
#include "ops/linear/linear_simd.h"

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {
namespace {

// part[c] += dy[0][c] + dy[1][c] + … in this order.
template <int rows, class T>
void add_rows(const T* dy, int64_t columns, float* part) {
  each_vector(0, columns, [=](int64_t c, auto lanes) {
    f32x16 total = load(part + c, lanes);
    for (int row = 0; row < rows; ++row) total += load_ahead(dy + row * columns + c, lanes);
    store(part + c, total, lanes);
  });
}

template <class T>
void sum_rows(const void* dy_data, int64_t columns, int64_t begin, int64_t end, float* part) {
  // Narrow sums stay in the first-level cache, and one row at a time reads memory as one stream;
  // wider ones are fetched and put back less often by several rows at once.
  constexpr int64_t kNarrow = 2048;
  constexpr int kRowsAtOnce = 4;
  const T* dy = static_cast<const T*>(dy_data);
  for (int64_t c = 0; c < columns; ++c) part[c] = 0.0f;
  int64_t r = begin;
  if (columns > kNarrow)
    for (; r + kRowsAtOnce <= end; r += kRowsAtOnce)
      add_rows<kRowsAtOnce>(dy + r * columns, columns, part);
  for (; r < end; ++r) add_rows<1>(dy + r * columns, columns, part);
}

template <class T>
OUTSIZE_INLINE float dot(const T* x, const T* w, int64_t in) {
  f32x16 even = zero(), odd = zero();
  int64_t i = 0;
  for (; i + 2 * kLanes <= in; i += 2 * kLanes) {
    even = fma(load(x + i), load_ahead(w + i, AllLanes{}), even);
    odd = fma(load(x + i + kLanes), load_ahead(w + i + kLanes, AllLanes{}), odd);
  }
  for (; i < in; i += kLanes) {
    const int count = static_cast<int>(in - i < kLanes ? in - i : kLanes);
    even = fma(load_n(x + i, count), load_n(w + i, count), even);
  }
  return sum(even + odd);
}

// One row of w after the other, as they lie: memory gives its best to one long stream. Four rows
// side by side, which would share their reads of x, got half as much. Results leave as whole
// vectors: stored one at a time they cost a tenth of the rate.
template <class T, class Y>
void few_rows(const FewRows& product, int64_t begin, int64_t end) {
  const int64_t in = product.in, out = product.out;
  const T *x = static_cast<const T*>(product.x), *w = static_cast<const T*>(product.w);
  Y* y = static_cast<Y*>(product.y);
  const int64_t rows = product.rows;
  float sums[kMostFewRows][kLanes];
  for (int64_t o = begin; o < end; o += kLanes) {
    const int count = static_cast<int>(end - o < kLanes ? end - o : kLanes);
    for (int i = 0; i < count; ++i)
      for (int64_t n = 0; n < rows; ++n) sums[n][i] = dot(x + n * in, w + (o + i) * in, in);
    const f32x16 bias = product.bias ? load_n(product.bias + o, count) : zero();
    for (int64_t n = 0; n < rows; ++n)
      store_n(y + n * out + o, load_n(sums[n], count) + bias, count);
  }
}

}  // namespace

extern const LinearKernels linear_kernels = {
    few_rows<float, float>,
    few_rows<uint16_t, uint16_t>,
    few_rows<uint16_t, float>,
    {sum_rows<float>, sum_rows<uint16_t>},
};

}  // namespace outsize::OUTSIZE_ISA
