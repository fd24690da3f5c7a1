// What attention, its gradient and cached_attention check and count alike.
#pragma once

#include "graph/op.h"
#include "ops/attention/attention_simd.h"

namespace outsize {

// Attributes as numbers. Throws InvalidArgument "[op] …" when they make no sense together.
AttentionShape attention_shape(const char* op, const Attrs& attrs);

// Throws InvalidArgument unless q is [N,H·K] and k, v are [N,G·K], all f32 or all bf16.
void check_attention_inputs(const char* op, const AttentionShape& shape, const ValueType& q,
                            const ValueType& k, const ValueType& v);

// Pairs (query, key) of `queries` tokens behind `past` others in one document.
double attention_pairs(std::int64_t queries, std::int64_t past, std::int64_t window);

}  // namespace outsize
