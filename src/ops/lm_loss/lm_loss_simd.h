// Vector kernels of lm_loss: softmax on a piece of one row of f32 logits.
#pragma once

#include <cstdint>

namespace outsize {

// Of some logits of a row: their maximum, and the sum of exp(logit − maximum).
struct SoftmaxPart {
  float top;
  double total;
};

struct LmLossKernels {
  SoftmaxPart (*part)(const float* logits, std::int64_t count);
  // Index of the two that follow: "in bf16", else f32.
  // As `part`, and out[v] = exp(logits[v] − maximum).
  SoftmaxPart (*exponentials[2])(const float* logits, std::int64_t count, void* out);
  // values[v] · factor, in place.
  void (*scale[2])(void* values, std::int64_t count, float factor);
  // Rounded to bf16.
  void (*narrow)(const float* from, std::int64_t count, std::uint16_t* to);
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
