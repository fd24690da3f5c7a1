// gated_activation: y = f(gate)·up, elementwise. The middle of a gated feed-forward block (GLU
// variants, Shazeer 2020): SwiGLU with kind 0 (silu), GeGLU with kind 1 (gelu_tanh).
// Shapes: gate, up, y equal. Dtypes: f32 or bf16, equal; computed in f32, rounded once.
// Gradient: gated_activation_grad(dy, gate, up) -> dgate, dup; saves gate and up, not f(gate).
// Errors: InvalidArgument for unequal inputs, another dtype or an unknown kind.
#pragma once

#include "graph/graph.h"
#include "ops/activation/functions.h"

namespace outsize {

const OpDef& gated_activation_op();
const OpDef& gated_activation_grad_op();

// kind: silu or gelu_tanh.
ValueId gated_activation(Graph& graph, ValueId gate, ValueId up, ActivationKind kind);

}  // namespace outsize
