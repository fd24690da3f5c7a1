// Softmax cross-entropy on one row of logits: maximum, sum of exponentials, gradient; three passes
// over a row that stays in the cache. Sums of 4,096 terms in f32 lanes, then in f64.
#include "ops/lm_loss/lm_loss_simd.h"

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {
namespace {

constexpr int64_t kBlock = 4096;

struct RowSoftmax {
  float top;
  double total;  // sum of exp(logit - top)

  double loss(float target_logit) const {
    return __builtin_log(total) + static_cast<double>(top) - static_cast<double>(target_logit);
  }
};

float row_max(const float* row, int64_t count) {
  f32x16 top = splat(-__builtin_inff());
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) top = max(top, load(row + i));
  float result = max(top);
  for (; i < count; ++i) result = row[i] > result ? row[i] : result;
  return result;
}

RowSoftmax softmax(const float* row, int64_t count) {
  RowSoftmax result{row_max(row, count), 0.0};
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = begin + kBlock < count ? begin + kBlock : count;
    f32x16 partial = zero();
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) partial += exp(load(row + i) - result.top);
    if (i < end) {
      const int left = static_cast<int>(end - i);
      partial += select(first_lanes(left), exp(load_n(row + i, left) - result.top), zero());
    }
    result.total += static_cast<double>(sum(partial));
  }
  return result;
}

double loss(const float* logits, int64_t vocabulary, int32_t target) {
  return softmax(logits, vocabulary).loss(logits[target]);
}

template <class T>
double loss_grad(float* logits, int64_t vocabulary, int32_t target, float scale) {
  const RowSoftmax row = softmax(logits, vocabulary);
  const float target_logit = logits[target];
  const float factor = static_cast<float>(static_cast<double>(scale) / row.total);
  T* out = reinterpret_cast<T*>(logits);  // never ahead of what is still to be read
  int64_t v = 0;
  for (; v + kLanes <= vocabulary; v += kLanes)
    store(out + v, exp(load(logits + v) - row.top) * factor);
  if (v < vocabulary) {
    const int left = static_cast<int>(vocabulary - v);
    store_n(out + v, exp(load_n(logits + v, left) - row.top) * factor, left);
  }
  const float at_target = sum(select(first_lanes(1), exp(splat(target_logit - row.top)), zero()));
  store_n(out + target, splat(at_target * factor - scale), 1);
  return row.loss(target_logit);
}

}  // namespace

extern const LmLossKernels lm_loss_kernels = {loss, loss_grad<float>, loss_grad<uint16_t>};

}  // namespace outsize::OUTSIZE_ISA
