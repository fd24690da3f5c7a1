// cached_attention: attention of new tokens over a cache of earlier ones, for generation.
//   writes k, v to rows past .. past+N-1 of cache_k, cache_v; then, with position p = past + i,
//   out[i,h] = sum_j softmax_j(scale · q[i,h]·cache_k[j,h·G/H]) cache_v[j]   for j <= p and, with a
//   window w > 0, p - j < w.
// Legend: N new tokens of one text, H query heads, G kv heads (H % G == 0), K head_dim, C capacity.
// Shapes: q [N,H·K], k and v [N,G·K], past i32 [1]; out [N,H·K], cache_k and cache_v [C,G·K].
//   The caches are accumulating outputs: their buffers hold what earlier calls wrote, of which rows
//   0 .. past-1 are read and only the N new ones written. past + N > C is a Status, as is past < 0.
// Dtypes: all f32 or all bf16.
// Attributes: those of attention without row_length, capacity, and accumulate = 1.
// Numerics: as attention; with few tokens (N <= 4) keys are summed in chunks that follow from C and
//   softmax weights stay f32. That path reads the cache once, in the order it lies in memory.
//   Not differentiable.
// Source: FlashDecoding (Dao et al. 2023) for the split over keys.
#pragma once

#include "graph/graph.h"
#include "ops/attention/attention.h"

namespace outsize {

const OpDef& cached_attention_op();

struct CachedAttentionValues {
  ValueId out, cache_k, cache_v;
};

// `options.row_length` is ignored.
CachedAttentionValues cached_attention(Graph& graph, ValueId q, ValueId k, ValueId v, ValueId past,
                                       const AttentionOptions& options, std::int64_t capacity);

}  // namespace outsize
