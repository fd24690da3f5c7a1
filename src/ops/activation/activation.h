// activation: y = f(x), elementwise. The nonlinearity of an ungated feed-forward block.
// Attribute `kind`: 0 silu, 1 gelu_tanh (the tanh approximation; "gelu_new" and "gelu_pytorch_tanh"
// in Hugging Face configurations), 2 relu, 3 gelu_erf (exact; "gelu"), 4 tanh.
// Shapes: x, y equal. Dtypes: f32 or bf16, equal; computed in f32, rounded once.
// Gradient: activation_grad(dy, x) -> dx = dy·f'(x); saves x. relu'(0) = 0.
// Errors: InvalidArgument for another count of inputs, another dtype or an unknown kind.
#pragma once

#include "graph/graph.h"
#include "ops/activation/functions.h"

namespace outsize {

const OpDef& activation_op();
const OpDef& activation_grad_op();

ValueId activation(Graph& graph, ValueId x, ActivationKind kind);

}  // namespace outsize
