// rope_table: cosines and sines of rotary position angles, one row per token.
//   table[n, i] = scale·cos(positions[n]·frequencies[i]), table[n, K/2 + i] = scale·sin(same)
// Attributes: `frequencies` (list of K/2 angles in radians per position; the family computes them,
// with its rope scaling if it has one), `scale` (real, usually 1; YaRN's attention factor).
// Shapes: positions i32 [N], table f32 [N,K]. Angles, cosines and sines in float64, rounded once.
// Not differentiable: its input is an integer. Rows of equal positions are equal bit for bit.
// Errors: InvalidArgument for another input or an empty list.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace outsize {

const OpDef& rope_table_op();

ValueId rope_table(Graph& graph, ValueId positions, std::vector<double> frequencies,
                   double scale = 1.0);

}  // namespace outsize
