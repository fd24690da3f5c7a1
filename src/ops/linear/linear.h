// linear: y = x · wᵀ (+ b), the dense layer in Hugging Face layout.
// Shapes: x [N,I], w [O,I], b [O] (optional), y [N,O].
// Dtypes: x, w both f32 or both bf16; b f32; y as x, or f32 with f32_out (logits).
// Numerics: f32 accumulation (backends/cpu/matmul.h), one rounding to y's dtype. Same bits per
// thread count.
// Gradients: dx = dy · w, dw = dyᵀ · x (f32, may accumulate), db = sum of dy over rows (f32, may
// accumulate); saves x.
#pragma once

#include "graph/graph.h"

namespace outsize {

const OpDef& linear_op();
const OpDef& linear_grad_input_op();
const OpDef& linear_grad_weight_op();
const OpDef& linear_grad_bias_op();

// `bias` may be kNoValue.
ValueId linear(Graph& graph, ValueId x, ValueId w, ValueId bias, bool f32_out = false);

}  // namespace outsize
