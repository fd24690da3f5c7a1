// Vector kernels of cached_attention for few tokens: what must run at the rate of memory.
#pragma once

#include <cstdint>

#include "ops/attention/attention_simd.h"

namespace outsize {

// Keys [begin, end) as one query token sees them, for all heads.
struct DecodeChunk {
  AttentionShape shape;
  std::int64_t begin, end;      // not empty
  const void* q;                // the token, [H·K]
  const void *k, *v;            // caches, [C,G·K]
  float* partials;              // of the first query head: decode_partial_words
  std::int64_t partial_stride;  // words from one query head's to the next one's
};

// A partial result: the sums of weight·v (K up to whole vectors), then the largest score in powers
// of two, then the sum of weights.
constexpr std::int64_t decode_partial_words(std::int64_t head_dim) {
  return (head_dim + 15) / 16 * 16 + 16;
}

struct DecodeKernels {
  // Words of scratch for chunks of at most this many keys.
  std::int64_t (*scratch_words)(const AttentionShape& shape, std::int64_t keys);
  void (*run)(const DecodeChunk& chunk, float* scratch);
  // Joins `count` partial results lying side by side, in order, into one head's output [K].
  void (*join)(const float* partials, std::int64_t count, std::int64_t head_dim, void* out);
};

#define OUTSIZE_DECODE_TABLES(isa)                    \
  namespace isa {                                     \
  extern const DecodeKernels decode_f32, decode_bf16; \
  }
OUTSIZE_DECODE_TABLES(isa_baseline)
OUTSIZE_DECODE_TABLES(isa_avx2)
OUTSIZE_DECODE_TABLES(isa_avx512)
#undef OUTSIZE_DECODE_TABLES

}  // namespace outsize
