// lm_loss: the language-model head and its loss in one op, so that whole logits exist nowhere.
//   loss = sum over rows n with targets[n] >= 0 of  logsumexp(x[n]·wᵀ) − (x[n]·wᵀ)[targets[n]]
// Shapes: x [N,D], w [V,D], targets i32 [N] (−1: no target), loss f64 [1] in nats.
// Only rows with a target are multiplied, gathered into chunks of at most `chunk_rows` rows
// (attribute; default from V: up to 256 MiB of exponentials), and every chunk goes through the
// vocabulary in blocks of kLmLossBlock words, so that a block's logits are still in a cache when
// their exponentials are taken. Those are kept, in x's dtype, for the gradient; of the logits
// themselves no more than one block's exist.
// Dtypes: x, w both f32 or both bf16; logits and softmax in f32, sums over blocks and rows in f64.
// Gradient: lm_loss_grad(x, w, targets, dloss) -> dx (x's dtype), dw (f32, may accumulate), loss.
// It forms the logits once for both passes, so a training program runs it alone and takes the loss
// from it. Compared with: cut cross-entropy (Wijmans et al. 2024) and Liger's fused linear
// cross-entropy.
#pragma once

#include "graph/graph.h"

namespace outsize {

const OpDef& lm_loss_op();
const OpDef& lm_loss_grad_op();

ValueId lm_loss(Graph& graph, ValueId x, ValueId w, ValueId targets);

// Words whose logits are formed by one product.
constexpr std::int64_t kLmLossBlock = 2048;

// Rows of exponentials held at once for a vocabulary of this size.
std::int64_t lm_loss_default_chunk_rows(std::int64_t vocabulary, DType dtype);

}  // namespace outsize
