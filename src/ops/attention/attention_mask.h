// Which keys a block of queries sees: the bounds per lane, the range of key blocks worth visiting,
// and the masking of one tile of scores. Only for *_simd.cc sources.
#pragma once

#include "ops/attention/attention_simd.h"
#include "ops/attention/attention_tile.h"

namespace outsize::OUTSIZE_ISA {

// A score no real one reaches, and the running maximum before any key: 2^(masked - floor) is 0.
constexpr float kFloorScore = -1e30f;
constexpr float kMaskedScore = -2e30f;

struct Sight {
  int64_t first[kBlock], last[kBlock];  // key positions per lane; absent lanes copy the last query
  int64_t lowest_first, highest_first, lowest_last, highest_last;
};

OUTSIZE_INLINE Sight sight_of(const AttentionRow& row, int64_t begin, int64_t end) {
  Sight sight;
  for (int64_t lane = 0; lane < kBlock; ++lane) {
    const int64_t query = smaller(begin + lane, end - 1);
    const int64_t position = row.past + query;
    int64_t first = row.document_start ? row.document_start[query] - row.row_begin : 0;
    if (row.shape.window > 0) first = larger(first, position - row.shape.window + 1);
    first = larger(first, 0);
    sight.first[lane] = first;
    sight.last[lane] = position;
    sight.lowest_first = lane ? smaller(sight.lowest_first, first) : first;
    sight.highest_first = lane ? larger(sight.highest_first, first) : first;
  }
  sight.lowest_last = sight.last[0];
  sight.highest_last = sight.last[kBlock - 1];
  return sight;
}

// A block of keys and values of one kv head, where they lie.
template <class T>
struct KeyTokens {
  Tokens<T> k, v;
};

// The block that begins there, up to the last key.
template <class T>
OUTSIZE_INLINE KeyTokens<T> key_tokens(const AttentionRow& row, int64_t kv_head, int64_t begin,
                                       int64_t last_key) {
  const AttentionShape& shape = row.shape;
  const int64_t stride = shape.kv_heads * shape.head_dim;
  const int64_t offset = begin * stride + kv_head * shape.head_dim;
  const int64_t count = smaller(kKeys<T>, last_key + 1 - begin);
  return {{static_cast<const T*>(row.k) + offset, stride, count, shape.head_dim},
          {static_cast<const T*>(row.v) + offset, stride, count, shape.head_dim}};
}

// Lane vectors [begin, end) of a block of queries against the first `keys` keys of a block of keys.
struct Slice {
  int64_t begin, end, keys;
};

// One block of keys as seen by one block of queries. On the diagonal the first half of the queries
// needs only the first half of the keys: two slices, of which the first sees fewer keys.
struct Tile {
  int64_t begin, keys;  // keys [begin, begin + keys)
  int64_t vectors;      // lane vectors in use
  bool masked;          // some lane must not see some key
  int slices;
  Slice slice[2];
};

// Blocks lie on a grid from key 0, so what is skipped never changes how the rest is summed.
template <class T>
OUTSIZE_INLINE int64_t first_key_block(const Sight& sight) {
  return sight.lowest_first / kKeys<T> * kKeys<T>;
}

template <class T>
OUTSIZE_INLINE bool sees(const Sight& sight, int64_t begin) {
  return begin <= sight.highest_last && sight.lowest_first < begin + kKeys<T>;
}

// For a block of keys that the queries see.
template <class T>
OUTSIZE_INLINE Tile tile_of(const Sight& sight, int64_t begin, int64_t queries) {
  constexpr int64_t kHalf = kBlock / kLanes / 2;
  Tile tile;
  tile.begin = begin;
  tile.keys = smaller(kKeys<T>, sight.highest_last + 1 - begin);
  tile.vectors = (queries + kLanes - 1) / kLanes;
  // Rows up to a whole register tile are computed and must weigh nothing.
  tile.masked = begin < sight.highest_first || begin + tile.keys - 1 > sight.lowest_last ||
                tile.keys % kTileRows != 0;
  const int64_t first_half = smaller(tile.keys, sight.last[kHalf * kLanes - 1] + 1 - begin);
  tile.slices = 0;
  if (tile.vectors > kHalf && first_half < tile.keys) {
    if (first_half > 0) tile.slice[tile.slices++] = {0, kHalf, first_half};
    tile.slice[tile.slices++] = {kHalf, tile.vectors, tile.keys};
  } else {
    tile.slice[tile.slices++] = {0, tile.vectors, tile.keys};
  }
  return tile;
}

// Bounds per lane relative to a key block, as f32 for the vector compare.
struct Bounds {
  float first[kBlock], last[kBlock];
};

OUTSIZE_INLINE void set_bounds(const Sight& sight, int64_t begin, Bounds& bounds) {
  constexpr int64_t kBeyond = 4 * kBlock;  // any key of a block
  for (int64_t lane = 0; lane < kBlock; ++lane) {
    const int64_t first = sight.first[lane] - begin, last = sight.last[lane] - begin;
    bounds.first[lane] = static_cast<float>(smaller(first, kBeyond));
    bounds.last[lane] = static_cast<float>(smaller(last, kBeyond));
  }
}

OUTSIZE_INLINE f32x16 mask_score(const Bounds& bounds, int64_t vector, int64_t key, f32x16 score) {
  const f32x16 k = splat(static_cast<float>(key));
  const f32x16 masked = splat(kMaskedScore);
  score = select(less(k, load(bounds.first + vector * kLanes)), masked, score);
  return select(less(load(bounds.last + vector * kLanes), k), masked, score);
}

}  // namespace outsize::OUTSIZE_ISA
