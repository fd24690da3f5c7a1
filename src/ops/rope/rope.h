// rope: rotary position embedding (Su et al. 2021), in the "rotate half" layout of Hugging Face.
// Each row of x holds H heads of K values, x1 the first and x2 the second half of a head:
//   y1 = x1·cos − x2·sin,  y2 = x2·cos + x1·sin   (inverse: with −sin)
// Shapes: x, y [N, H·K]; table f32 [N,K] from rope_table (cosines, then sines). Attributes:
// `head_dim` (K, even), `inverse` (0 or 1: rotates back). Dtypes: x, y f32 or bf16, equal; rotated
// in f32, rounded once.
// Gradient: the same op with the other `inverse`, as rotations are orthogonal. The table is a
// constant: it gets no gradient.
// Errors: InvalidArgument for types that do not match or an odd head_dim.
#pragma once

#include "graph/graph.h"

namespace outsize {

const OpDef& rope_op();

ValueId rope(Graph& graph, ValueId x, ValueId table, std::int64_t head_dim);

}  // namespace outsize
