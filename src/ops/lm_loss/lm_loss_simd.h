// Vector kernels of lm_loss: softmax cross-entropy on one row of f32 logits.
#pragma once

#include <cstdint>

namespace outsize {

struct LmLossKernels {
  // −log softmax(logits)[target].
  double (*loss)(const float* logits, std::int64_t vocabulary, std::int32_t target);
  // The same, and in place: logits[v] becomes (softmax(logits)[v] − [v == target]) · scale, as f32.
  double (*loss_grad_f32)(float* logits, std::int64_t vocabulary, std::int32_t target, float scale);
  // As loss_grad_f32, written as bf16 over the first half of the row's memory.
  double (*loss_grad_bf16)(float* logits, std::int64_t vocabulary, std::int32_t target,
                           float scale);
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
