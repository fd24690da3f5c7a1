// Products of few rows: four outputs at a time, 16 terms in registers. Column sums for the bias
// gradient: 16 columns in registers, rows in order.
#include "ops/linear/linear_simd.h"

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {
namespace {

template <class T>
void sum_rows(const T* dy, int64_t rows, int64_t columns, int64_t begin, int64_t end,
              bool accumulate, float* db) {
  for (int64_t c = begin; c < end; c += kLanes) {
    const int count = static_cast<int>(end - c < kLanes ? end - c : kLanes);
    f32x16 total = accumulate ? load_n(db + c, count) : zero();
    if (count == kLanes) {
      for (int64_t r = 0; r < rows; ++r) total += load(dy + r * columns + c);
    } else {
      for (int64_t r = 0; r < rows; ++r) total += load_n(dy + r * columns + c, count);
    }
    store_n(db + c, total, count);
  }
}

// The dot products of one row of x with kCount rows of w. Each sum is grouped alike whatever
// kCount is, so an output does not depend on where a thread's range begins.
template <int kCount, class T>
void dot_rows(const T* x, const T* w, int64_t in, float* sums) {
  f32x16 even[kCount], odd[kCount];
  for (int o = 0; o < kCount; ++o) even[o] = odd[o] = zero();
  int64_t i = 0;
  for (; i + 2 * kLanes <= in; i += 2 * kLanes) {
    const f32x16 first = load(x + i), second = load(x + i + kLanes);
#pragma GCC unroll 4
    for (int o = 0; o < kCount; ++o) {
      even[o] = fma(first, load(w + o * in + i), even[o]);
      odd[o] = fma(second, load(w + o * in + i + kLanes), odd[o]);
    }
  }
  for (; i < in; i += kLanes) {
    const int count = static_cast<int>(in - i < kLanes ? in - i : kLanes);
    const f32x16 first = load_n(x + i, count);
    for (int o = 0; o < kCount; ++o) even[o] = fma(first, load_n(w + o * in + i, count), even[o]);
  }
  for (int o = 0; o < kCount; ++o) sums[o] = sum(even[o] + odd[o]);
}

template <class T, class Y>
void few_rows(const FewRows& product, int64_t begin, int64_t end) {
  constexpr int kAtOnce = 4;
  const int64_t in = product.in;
  const T* w = static_cast<const T*>(product.w);
  for (int64_t o = begin; o < end;) {
    const bool full = end - o >= kAtOnce;
    for (int64_t n = 0; n < product.rows; ++n) {
      const T* x = static_cast<const T*>(product.x) + n * in;
      float sums[kAtOnce];
      if (full)
        dot_rows<kAtOnce>(x, w + o * in, in, sums);
      else
        dot_rows<1>(x, w + o * in, in, sums);
      Y* y = static_cast<Y*>(product.y) + n * product.out + o;
      for (int j = 0; j < (full ? kAtOnce : 1); ++j)
        store_n(y + j, splat(sums[j] + (product.bias ? product.bias[o + j] : 0.0f)), 1);
    }
    o += full ? kAtOnce : 1;
  }
}

}  // namespace

extern const LinearKernels linear_kernels = {
    few_rows<float, float>, few_rows<uint16_t, uint16_t>, few_rows<uint16_t, float>,
    sum_rows<float>,        sum_rows<uint16_t>,
};

}  // namespace outsize::OUTSIZE_ISA
