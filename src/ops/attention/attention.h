// attention: each token attends to itself and what precedes it in its document.
//   s(i,j) = scale · q[i,h] · k[j,h·G/H], for document_start[i] <= j <= i and i - j < w (window)
//   out[i,h] = sum_j softmax_j(s(i,j)) v[j,h·G/H];   lse[i,h] = ln sum_j e^s(i,j)
// Legend: N tokens of a microbatch, flattened; H query heads, G kv heads (H % G == 0), K head_dim.
// Shapes: q [N,H·K], k and v [N,G·K], document_start i32 [N]; out [N,H·K], lse f32 [N,H].
//   document_start[i] is the index of the first token of i's document: documents are contiguous and
//   stay within their row; a padding token is a document of its own. Anything else is a Status.
// Dtypes: q, k, v, out all f32 or all bf16.
// Attributes: heads, kv_heads, head_dim (even), scale, window (0 = unlimited); row_length: tokens
//   per row, divides N (0 = one row): rows are worked on apart, and the cost counts their pairs.
// Numerics: online softmax and all sums in f32. With bf16 and AVX-512 the scores are sums of exact
//   products, softmax weights are rounded to bf16 before they multiply v (their sum is not);
//   elsewhere bf16 is widened and nothing in between is rounded. Blocks of keys that the masks
//   exclude are skipped; that never changes bits. No memory grows with N·N. Bits do not depend on
//   the number of threads.
// Gradient: attention_grad(dout, q, k, v, out, lse, document_start[, dlse]) -> dq, dk, dv, in
//   blocks from lse; weights and their gradients are rounded to bf16 where forward weights are.
// Sources: Milakov and Gimelshein 2018; FlashAttention (Dao et al. 2022), algorithms 1 and 4;
//   grouped queries: Ainslie et al. 2023.
#pragma once

#include "graph/graph.h"

namespace outsize {

const OpDef& attention_op();
const OpDef& attention_grad_op();

struct AttentionOptions {
  std::int64_t heads = 1;
  std::int64_t kv_heads = 1;
  std::int64_t head_dim = 2;
  double scale = 1.0;
  std::int64_t window = 0;
  std::int64_t row_length = 0;
};

Attrs to_attrs(const AttentionOptions& options);

struct AttentionValues {
  ValueId out, lse;
};

AttentionValues attention(Graph& graph, ValueId q, ValueId k, ValueId v, ValueId document_start,
                          const AttentionOptions& options);

}  // namespace outsize
