// Vector kernels of lm_loss: softmax on a piece of one row of f32 logits.
#pragma once

#include <cstdint>

#include "core/streaming.h"

namespace outsize {

// Of some logits of a row: their maximum, and the sum of exp(logit − maximum).
struct SoftmaxPart {
  float top;
  double total;
};

struct LmLossKernels {
  SoftmaxPart (*part)(const float* logits, std::int64_t count);
  // The same, and in place: logits[v] becomes exp(logits[v] − maximum).
  SoftmaxPart (*exponentials)(float* logits, std::int64_t count);
  // out[v] = values[v] · factor; `out` may be `values`, unless it streams.
  void (*scale_f32)(Result out, const float* values, std::int64_t count, float factor);
  void (*scale_bf16)(Result out, const float* values, std::int64_t count, float factor);
};

namespace isa_baseline {
extern const LmLossKernels lm_loss_kernels;
}
namespace isa_avx2 {
extern const LmLossKernels lm_loss_kernels;
}
namespace isa_avx512 {
extern const LmLossKernels lm_loss_kernels;
}

}  // namespace outsize
