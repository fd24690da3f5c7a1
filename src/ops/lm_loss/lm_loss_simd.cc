// Softmax on a piece of one row of logits: maximum and sum of exponentials, then the gradient. Sums
// of 4,096 terms in f32 lanes, then in f64.
#include "ops/lm_loss/lm_loss_simd.h"

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {
namespace {

constexpr int64_t kBlock = 4096;

float row_max(const float* row, int64_t count) {
  f32x16 top = splat(-__builtin_inff());
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) top = max(top, load(row + i));
  float result = max(top);
  for (; i < count; ++i) result = row[i] > result ? row[i] : result;
  return result;
}

// `keep(v, values, lanes)` is given every exponential once.
template <class Keep>
SoftmaxPart sum_exponentials(const float* logits, int64_t count, Keep keep) {
  SoftmaxPart result{row_max(logits, count), 0.0};
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = begin + kBlock < count ? begin + kBlock : count;
    f32x16 partial = zero();
    int64_t v = begin;
    for (; v + kLanes <= end; v += kLanes) {
      const f32x16 value = exp(load(logits + v) - result.top);
      keep(v, value, kLanes);
      partial += value;
    }
    if (v < end) {
      const int left = static_cast<int>(end - v);
      const f32x16 value = exp(load_n(logits + v, left) - result.top);
      keep(v, value, left);
      partial += select(first_lanes(left), value, zero());
    }
    result.total += static_cast<double>(sum(partial));
  }
  return result;
}

SoftmaxPart part(const float* logits, int64_t count) {
  return sum_exponentials(logits, count, [](int64_t, f32x16, int) {});
}

template <class T>
SoftmaxPart exponentials(const float* logits, int64_t count, void* out) {
  T* to = static_cast<T*>(out);
  return sum_exponentials(logits, count, [to](int64_t v, f32x16 value, int lanes) {
    if (lanes == kLanes)
      store(to + v, value);
    else
      store_n(to + v, value, lanes);
  });
}

template <class T>
void scale(void* data, int64_t count, float factor) {
  T* values = static_cast<T*>(data);
  each_vector(0, count, [=](int64_t v, auto lanes) {
    store(values + v, load(values + v, lanes) * factor, lanes);
  });
}

void narrow(const float* from, int64_t count, uint16_t* to) {
  each_vector(0, count,
              [=](int64_t v, auto lanes) { store(to + v, load(from + v, lanes), lanes); });
}

}  // namespace

extern const LmLossKernels lm_loss_kernels = {
    part, {exponentials<float>, exponentials<uint16_t>}, {scale<float>, scale<uint16_t>}, narrow};

}  // namespace outsize::OUTSIZE_ISA
