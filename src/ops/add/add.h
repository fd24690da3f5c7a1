// add: y = a + b, elementwise. The residual connection, and the sum of two cotangents.
// Shapes: a, b, y equal. Dtypes: f32 or bf16, all equal; summed in f32, rounded once.
#pragma once

#include "graph/graph.h"

namespace outsize {

const OpDef& add_op();

ValueId add(Graph& graph, ValueId a, ValueId b);

}  // namespace outsize
