// embedding: y[n] = scale · table[ids[n]]: the rows of a table picked by token ids.
// Shapes: table [V,D], ids i32 [N], y [N,D]. Attribute `scale` (real; 1 for most families, √D for
// Gemma). Dtypes: table and y f32 or bf16, equal; multiplied in f32, rounded once.
// Gradient: embedding_grad(dy [N,D], ids) {vocabulary, scale} -> dtable f32 [V,D], accumulating:
// rows are added in order of n, whichever thread does it; without accumulation all of dtable is
// written (zeros where no id points).
// Errors: InvalidArgument for types that do not match; an id outside [0, V) is a Status at launch.
#pragma once

#include "graph/graph.h"

namespace outsize {

const OpDef& embedding_op();
const OpDef& embedding_grad_op();

ValueId embedding(Graph& graph, ValueId table, ValueId ids, double scale = 1.0);

}  // namespace outsize
