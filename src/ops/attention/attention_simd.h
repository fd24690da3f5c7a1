// Vector kernels of attention: what attention_cpu.cc and cached_attention call per block of
// queries. Plain declarations; see core/simd.h for how one source serves every instruction set.
// Legend: H query heads, G kv heads, K head_dim. Tokens of q are H*K elements apart, of k and v
// G*K.
#pragma once

#include <cstdint>

namespace outsize {

struct AttentionShape {
  std::int64_t heads, kv_heads, head_dim;
  std::int64_t window;  // 0 = unlimited
  float scale;
};

// One row of tokens (or one cache): query i stands at key position past + i and sees the keys from
// max(document_start[i] - row_begin, position - window + 1, 0) to its own position.
struct AttentionRow {
  AttentionShape shape;
  std::int64_t queries;
  std::int64_t past;                   // keys before the first query
  const std::int32_t* document_start;  // per query, or null: one document
  std::int32_t row_begin;              // subtracted from document_start
  const void *q, *k, *v;               // first token of the row
};

struct AttentionForward {
  AttentionRow row;
  void* out;   // as q
  float* lse;  // [queries, H], natural logarithm, or null
};

struct AttentionBackward {
  AttentionRow row;  // past = 0
  const void *dout, *out;
  const float *lse, *dlse;  // dlse may be null
  void *dq, *dk, *dv;
};

// Query heads [begin, end), all of kv head `kv_head` of one row.
struct AttentionHeads {
  std::int64_t kv_head, begin, end;
};

struct AttentionForwardKernels {
  std::int64_t (*scratch_bytes)(const AttentionShape& shape, std::int64_t queries);
  // Queries per task, which share each packed block of keys; of a row of so many.
  std::int64_t (*span)(const AttentionShape& shape, std::int64_t queries);
  // Queries [begin, end), at most a span, of all query heads of one kv head.
  void (*run)(const AttentionForward& args, std::int64_t kv_head, std::int64_t begin,
              std::int64_t end, void* scratch);
};

struct AttentionBackwardKernels {
  std::int64_t (*scratch_bytes)(const AttentionShape& shape, std::int64_t queries);
  // Writes dq of the heads, and their dk and dv as unscaled f32 sums over `sums`: two arrays of
  // attention_sum_words(K, queries) words each, dk first.
  void (*run)(const AttentionBackward& args, const AttentionHeads& heads, float* sums,
              void* scratch);
  // Adds `parts` pairs of sums, part_words apart, in order and writes dk and dv of tokens [begin,
  // end).
  void (*write_sums)(const AttentionBackward& args, std::int64_t kv_head, const float* sums,
                     std::int64_t parts, std::int64_t part_words, std::int64_t begin,
                     std::int64_t end);
};

constexpr std::int64_t kAttentionBlock = 64;

// Words of one f32 array [queries up to a whole block][K up to whole vectors].
constexpr std::int64_t attention_sum_words(std::int64_t head_dim, std::int64_t queries) {
  return (queries + 63) / 64 * 64 * ((head_dim + 15) / 16 * 16);
}

#define OUTSIZE_ATTENTION_TABLES(isa)                                                    \
  namespace isa {                                                                        \
  extern const AttentionForwardKernels attention_forward_f32, attention_forward_bf16;    \
  extern const AttentionBackwardKernels attention_backward_f32, attention_backward_bf16; \
  }
OUTSIZE_ATTENTION_TABLES(isa_baseline)
OUTSIZE_ATTENTION_TABLES(isa_avx2)
OUTSIZE_ATTENTION_TABLES(isa_avx512)
OUTSIZE_ATTENTION_TABLES(isa_amx)
#undef OUTSIZE_ATTENTION_TABLES

}  // namespace outsize
