// rms_norm: root-mean-square normalisation (Zhang & Sennrich 2019) of groups of K values.
//   y = x·rstd·(weight_offset + w),  rstd = 1/√(mean of x² over the group + eps)
// Every K consecutive values of a row are one group: K = W is a block's norm, K = head_dim the norm
// of queries and keys. Attributes: `eps` (real), `weight_offset` (real; 1 for Gemma, else 0).
// Shapes: x, y [N,W]; w [K], K divides W; rstd [N, W/K]. Dtypes: x, y f32 or bf16, equal; w and
// rstd f32; computed in f32, y rounded once. Gradient: rms_norm_grad(dy, x, w, rstd) -> dx (x's
// dtype), dw f32 [K] (accumulating). rstd is there for the gradient and takes no cotangent. dw is
// summed over blocks of groups fixed by the shape. Errors: InvalidArgument for types that do not
// match.
#pragma once

#include "graph/graph.h"

namespace outsize {

const OpDef& rms_norm_op();
const OpDef& rms_norm_grad_op();

ValueId rms_norm(Graph& graph, ValueId x, ValueId w, double eps, double weight_offset = 0.0);

}  // namespace outsize
