// layer_norm: normalisation of every row to mean 0 and variance 1 (Ba et al. 2016).
//   y = (x − mean)·rstd·w + b,  rstd = 1/√(variance + eps), variance about the row's own mean
// Attribute `eps` (real). Shapes: x, y [N,D]; w, b [D]; mean, rstd [N]. Dtypes: x, y f32 or bf16,
// equal; the others f32; computed in f32, y rounded once.
// Gradient: layer_norm_grad(dy, x, w, mean, rstd) -> dx (x's dtype), dw, db f32 [D] (accumulating).
// mean and rstd are there for the gradient and take no cotangent. dw and db are summed over blocks
// of rows fixed by the shape. Errors: InvalidArgument for types that do not match.
#pragma once

#include "graph/graph.h"

namespace outsize {

const OpDef& layer_norm_op();
const OpDef& layer_norm_grad_op();

ValueId layer_norm(Graph& graph, ValueId x, ValueId w, ValueId b, double eps);

}  // namespace outsize
