// Backward attention of some query heads of one kv head (FlashAttention, Dao et al. 2022, §B.4):
// spans of a few blocks of queries outside, blocks of keys inside, weights computed again from the
// log-sum-exp. The blocks of a span share each packed block of keys, and its dk and dv while they
// lie in a cache. dk and dv grow in f32 in the order of the query blocks of a head, dq in the order
// of the key blocks; nothing is shared between tasks, so the order of every sum is fixed.
#include "ops/attention/attention_mask.h"

namespace outsize::OUTSIZE_ISA {
namespace {

constexpr float kLog2E = 1.44269504f;

template <class T>
struct Sizes {
  explicit Sizes(const AttentionShape& shape)
      : depth((shape.head_dim + Words<T>::kDepth - 1) / Words<T>::kDepth),
        words(round_up(depth, kLanes)),
        width(round_up(shape.head_dim, 32)),
        rows(round_up(shape.head_dim, kTileRows)),
        vectors((shape.head_dim + kLanes - 1) / kLanes) {}
  int64_t depth;    // words of one token
  int64_t words;    // the same up to whole vectors
  int64_t width;    // elements of one token up to what pack_tokens writes
  int64_t rows;     // elements of one token up to whole register tiles
  int64_t vectors;  // vectors of one token of dk, dv
};

// Words of one row of weights: kBlock elements.
template <class T>
constexpr int64_t kRowWords = kBlock / Words<T>::kDepth;

// Blocks of queries that add to the sums of a block of keys at one go: see kKeys.
template <class T>
constexpr int64_t kGroup = kKeys<T> / kBlock;
template <class T>
constexpr int64_t kGroupWords = kGroup<T>* kRowWords<T>;

// A block of queries of one head.
struct Queries {
  float *q_lanes, *dout_lanes, *q_tokens, *dout_tokens;
  float* dq;               // [head_dim][kBlock], unscaled
  float *log_sum, *delta;  // log_sum in powers of two
  int64_t begin, count;
  int64_t column;  // words: where its weights begin in the rows of its group
  Sight sight;
};

template <class T>
struct Buffers {
  Buffers(const AttentionShape& shape, int64_t queries, void* base) : scratch(base) {
    const Sizes<T> sizes(shape);
    const int64_t tokens = kRowWords<T> * sizes.width;
    key_rows = scratch.take(sizes.words * kKeys<T>);
    value_rows = scratch.take(sizes.words * kKeys<T>);
    key_elements = scratch.take(kKeys<T> / Words<T>::kDepth * sizes.width);
    weights = scratch.take(kKeys<T> * kBlock);
    dscores = scratch.take(kKeys<T> / Words<T>::kDepth * kBlock);
    // One f32 per word: the plain weights are their own words.
    weight_rows = Words<T>::kPairs ? scratch.take(kGroupWords<T> * kKeys<T>) : weights;
    dscore_rows = Words<T>::kPairs ? scratch.take(kGroupWords<T> * kKeys<T>) : dscores;
    // A group's tokens follow each other.
    const int64_t blocks = smaller(most_span<T>(shape.head_dim), (queries + kBlock - 1) / kBlock);
    float* q_tokens = scratch.take(blocks * tokens);
    float* dout_tokens = scratch.take(blocks * tokens);
    for (int64_t b = 0; b < blocks; ++b) {
      Queries& block = span[b];
      block.q_lanes = scratch.take(sizes.words * kBlock);
      block.dout_lanes = scratch.take(sizes.words * kBlock);
      block.q_tokens = q_tokens + b * tokens;
      block.dout_tokens = dout_tokens + b * tokens;
      block.dq = scratch.take(sizes.rows * kBlock);
      block.log_sum = scratch.take(kBlock);
      block.delta = scratch.take(kBlock);
    }
  }

  Scratch scratch;
  float *key_rows, *value_rows, *key_elements;  // of the key block
  float* weights;                               // [key][query] f32
  float *weight_rows, *dscore_rows;             // words summed over queries
  float* dscores;                               // words summed over keys
  Queries span[kMostSpan<T>];
};

// weights = 2^(scale·K·Qᵀ - log_sum), as f32 and as words summed over queries.
template <class T, bool kMasked>
struct TakeScores {
  const Buffers<T>& buffers;
  const Queries& block;
  const Bounds& bounds;
  float scale;
  template <int kVectors>
  [[gnu::always_inline]] inline void operator()(f32x16 (&acc)[kTileRows][kVectors], int64_t r,
                                                int64_t vector) const {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const int64_t lane = (vector + v) * kLanes;
      const f32x16 log_sum = load(block.log_sum + lane);
#pragma GCC unroll 4
      for (int i = 0; i < kTileRows; ++i) {
        f32x16 above = fma(acc[i][v], splat(scale), -log_sum);
        if constexpr (kMasked) above = mask_score(bounds, vector + v, r + i, above);
        const f32x16 weight = exp2(above);
        store(buffers.weights + (r + i) * kBlock + lane, weight);
        if constexpr (Words<T>::kPairs)
          store_lanes<true>(buffers.weight_rows + (r + i) * kGroupWords<T> + block.column, lane,
                            weight);
      }
    }
  }
};

// dscores = weights·(V·dOᵀ - delta), as words summed over keys and over queries.
template <class T>
struct TakeWeightGradients {
  const Buffers<T>& buffers;
  const Queries& block;
  template <int kVectors>
  [[gnu::always_inline]] inline void operator()(f32x16 (&acc)[kTileRows][kVectors], int64_t r,
                                                int64_t vector) const {
    constexpr bool kPairs = Words<T>::kPairs;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const int64_t lane = (vector + v) * kLanes;
      const f32x16 delta = load(block.delta + lane);
#pragma GCC unroll 2
      for (int i = 0; i < kTileRows; i += 2) {
        const float* weights = buffers.weights + (r + i) * kBlock + lane;
        const f32x16 a = load(weights) * (acc[i][v] - delta);
        const f32x16 b = load(weights + kBlock) * (acc[i + 1][v] - delta);
        store_row_pair<kPairs>(buffers.dscores + (r + i) / Words<T>::kDepth * kBlock + lane, kBlock,
                               a, b);
        if constexpr (kPairs) {
          float* rows = buffers.dscore_rows + (r + i) * kGroupWords<T> + block.column;
          store_lanes<true>(rows, lane, a);
          store_lanes<true>(rows + kGroupWords<T>, lane, b);
        }
      }
    }
  }
};

template <class T>
void weigh_block(const Sizes<T>& sizes, const Buffers<T>& buffers, const Queries& block,
                 const Tile& tile, const Bounds& bounds, float scale) {
  const Rows keys{buffers.key_rows, sizes.words, 1};
  const Columns queries{block.q_lanes, kBlock};
  for (int i = 0; i < tile.slices; ++i) {
    const Slice& slice = tile.slice[i];
    if (tile.masked)
      multiply<Words<T>::kPairs>(keys, queries, sizes.depth, slice.keys, slice.begin, slice.end,
                                 TakeScores<T, true>{buffers, block, bounds, scale});
    else
      multiply<Words<T>::kPairs>(keys, queries, sizes.depth, slice.keys, slice.begin, slice.end,
                                 TakeScores<T, false>{buffers, block, bounds, scale});
  }
}

template <class T>
void differentiate_weights(const Sizes<T>& sizes, const Buffers<T>& buffers, const Queries& block,
                           const Tile& tile) {
  for (int i = 0; i < tile.slices; ++i)
    multiply<Words<T>::kPairs>({buffers.value_rows, sizes.words, 1}, {block.dout_lanes, kBlock},
                               sizes.depth, tile.slice[i].keys, tile.slice[i].begin,
                               tile.slice[i].end, TakeWeightGradients<T>{buffers, block});
}

// sums[key][element] += (weights or dscores)·(dout or q), over the queries of the block. Keys that
// only the second slice sees have no weights in the lanes of the first.
template <class T>
void add_to_keys(const Sizes<T>& sizes, const Tile& tile, const float* rows, const float* tokens,
                 float* sums) {
  const int64_t stride = sizes.vectors * kLanes;
  int64_t key = 0;
  for (int i = 0; i < tile.slices; ++i) {
    const int64_t word = tile.slice[i].begin * kLanes / Words<T>::kDepth;
    const int64_t words = tile.vectors * kLanes / Words<T>::kDepth - word;
    float* to = sums + key * stride;
    multiply_accumulate<Words<T>::kPairs>({rows + key * kGroupWords<T> + word, kGroupWords<T>, 1},
                                          {tokens + word * sizes.width, sizes.width}, words,
                                          tile.slice[i].keys - key, 0, sizes.vectors, to, stride);
    key = round_up(tile.slice[i].keys, kTileRows);
  }
}

// The same of whole blocks of queries, for a whole block of keys.
template <class T>
void add_group_to_keys(const Sizes<T>& sizes, int64_t blocks, const float* rows,
                       const float* tokens, float* sums) {
  const int64_t stride = sizes.vectors * kLanes;
  multiply_accumulate<Words<T>::kPairs>({rows, kGroupWords<T>, 1}, {tokens, sizes.width},
                                        blocks * kRowWords<T>, kKeys<T>, 0, sizes.vectors, sums,
                                        stride);
}

// dq[element][query] += Kᵀ·dscores.
template <class T>
void add_to_queries(const Sizes<T>& sizes, const Buffers<T>& buffers, const Queries& block,
                    const Tile& tile) {
  for (int i = 0; i < tile.slices; ++i)
    multiply_accumulate<Words<T>::kPairs>(
        element_rows<T>(buffers.key_elements, sizes.width), {buffers.dscores, kBlock},
        round_up(tile.slice[i].keys, kTileRows) / Words<T>::kDepth, sizes.rows, tile.slice[i].begin,
        tile.slice[i].end, block.dq, kBlock);
}

template <class T>
float dot(const T* a, const T* b, int64_t count) {
  f32x16 total = zero();
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) total = fma(load(a + i), load(b + i), total);
  const int rest = static_cast<int>(count - i);
  if (rest) total = fma(load_n(a + i, rest), load_n(b + i, rest), total);
  return sum(total);
}

template <class T>
void start_queries(const AttentionBackward& args, const Sizes<T>& sizes, int64_t head,
                   Queries& block) {
  const AttentionShape& shape = args.row.shape;
  const int64_t stride = shape.heads * shape.head_dim, count = block.count;
  const int64_t offset = block.begin * stride + head * shape.head_dim;
  const Tokens<T> q{static_cast<const T*>(args.row.q) + offset, stride, count, shape.head_dim};
  const Tokens<T> dout{static_cast<const T*>(args.dout) + offset, stride, count, shape.head_dim};
  const int64_t lanes = round_up(count, kLanes);
  pack_lanes(q, block.q_lanes, sizes.words);
  pack_lanes(dout, block.dout_lanes, sizes.words);
  pack_tokens(q, lanes, block.q_tokens, sizes.width);
  pack_tokens(dout, lanes, block.dout_tokens, sizes.width);
  const T* out = static_cast<const T*>(args.out) + offset;
  for (int64_t i = 0; i < kBlock; ++i) {
    const int64_t at = (block.begin + i) * shape.heads + head;
    const bool there = i < count;
    block.log_sum[i] = there ? args.lse[at] * kLog2E : 0.0f;
    float delta = there ? dot(dout.data + i * stride, out + i * stride, shape.head_dim) : 0.0f;
    if (there && args.dlse) delta -= args.dlse[at];
    block.delta[i] = delta;
  }
  for (int64_t i = 0; i < sizes.rows * kBlock; i += kLanes) store(block.dq + i, zero());
}

template <class T>
void pack_keys(const Sizes<T>& sizes, const Buffers<T>& buffers, const KeyTokens<T>& tokens) {
  const int64_t rows = round_up(tokens.k.count, kTileRows);
  pack_rows(tokens.k, rows, buffers.key_rows, sizes.words);
  pack_rows(tokens.v, rows, buffers.value_rows, sizes.words);
  pack_elements(tokens.k, rows, buffers.key_elements, sizes.width);
}

// A block of queries meets a block of keys: weights, their gradients, and dq.
template <class T>
Tile meet(const Sizes<T>& sizes, const Buffers<T>& buffers, const Queries& block, int64_t key,
          float scale) {
  const Tile tile = tile_of<T>(block.sight, key, block.count);
  Bounds bounds;
  if (tile.masked) set_bounds(block.sight, key, bounds);
  weigh_block(sizes, buffers, block, tile, bounds, scale);
  differentiate_weights(sizes, buffers, block, tile);
  add_to_queries(sizes, buffers, block, tile);
  return tile;
}

// Every query of the block, every key, nothing left out.
template <class T>
bool meets_whole(const Queries& block, int64_t key) {
  if (!sees<T>(block.sight, key)) return false;
  const Tile tile = tile_of<T>(block.sight, key, block.count);
  return tile.slices == 1 && tile.keys == kKeys<T> && tile.vectors * kLanes == kBlock;
}

// The blocks of a span meet a block of keys, whose dk and dv begin there.
template <class T>
void meet_span(const Sizes<T>& sizes, Buffers<T>& buffers, int64_t blocks, int64_t key, float scale,
               float* dk, float* dv) {
  for (int64_t b = 0; b < blocks;) {
    Queries* group = buffers.span + b;
    int64_t whole = 0;
    while (whole < smaller(kGroup<T>, blocks - b) && meets_whole<T>(group[whole], key)) {
      group[whole].column = whole * kRowWords<T>;
      meet(sizes, buffers, group[whole], key, scale);
      ++whole;
    }
    if (whole > 0) {
      add_group_to_keys(sizes, whole, buffers.weight_rows, group->dout_tokens, dv);
      add_group_to_keys(sizes, whole, buffers.dscore_rows, group->q_tokens, dk);
      b += whole;
      continue;
    }
    if (sees<T>(group->sight, key)) {
      group->column = 0;
      const Tile tile = meet(sizes, buffers, *group, key, scale);
      add_to_keys(sizes, tile, buffers.weight_rows, group->dout_tokens, dv);
      add_to_keys(sizes, tile, buffers.dscore_rows, group->q_tokens, dk);
    }
    ++b;
  }
}

template <class T>
void write_queries(const AttentionBackward& args, int64_t head, const Queries& block) {
  const AttentionShape& shape = args.row.shape;
  float scale[kBlock];
  for (int64_t i = 0; i < kBlock; i += kLanes) store(scale + i, splat(shape.scale));
  const int64_t stride = shape.heads * shape.head_dim;
  T* dq = static_cast<T*>(args.dq) + block.begin * stride + head * shape.head_dim;
  write_lanes(block.dq, scale, block.count, shape.head_dim, dq, stride);
}

template <class T>
void backward_span(const AttentionBackward& args, const Sizes<T>& sizes, Buffers<T>& buffers,
                   int64_t kv_head, int64_t head, int64_t begin, int64_t end, float* dk,
                   float* dv) {
  const int64_t blocks = (end - begin + kBlock - 1) / kBlock;
  int64_t first_key = end + args.row.past;
  for (int64_t b = 0; b < blocks; ++b) {
    Queries& block = buffers.span[b];
    block.begin = begin + b * kBlock;
    block.count = smaller(kBlock, end - block.begin);
    block.sight = sight_of(args.row, block.begin, block.begin + block.count);
    first_key = smaller(first_key, first_key_block<T>(block.sight));
    start_queries<T>(args, sizes, head, block);
  }
  const int64_t last_key = args.row.past + end - 1;
  for (int64_t j = first_key; j <= last_key; j += kKeys<T>) {
    pack_keys(sizes, buffers, key_tokens<T>(args.row, kv_head, j, last_key));
    const int64_t at = j * sizes.vectors * kLanes;
    meet_span(sizes, buffers, blocks, j, args.row.shape.scale * kLog2E, dk + at, dv + at);
  }
  for (int64_t b = 0; b < blocks; ++b) write_queries<T>(args, head, buffers.span[b]);
}

template <class T>
void backward(const AttentionBackward& args, const AttentionHeads& heads, float* sums,
              void* workspace) {
  [[maybe_unused]] const MatrixUnit unit;
  const AttentionShape& shape = args.row.shape;
  const Sizes<T> sizes(shape);
  Buffers<T> buffers(shape, args.row.queries, workspace);
  const int64_t words = attention_sum_words(shape.head_dim, args.row.queries);
  for (int64_t i = 0; i < 2 * words; i += kLanes) store(sums + i, zero());
  const int64_t span = most_span<T>(shape.head_dim) * kBlock;
  for (int64_t begin = 0; begin < args.row.queries; begin += span)
    for (int64_t head = heads.begin; head < heads.end; ++head)
      backward_span(args, sizes, buffers, heads.kv_head, head, begin,
                    smaller(begin + span, args.row.queries), sums, sums + words);
}

template <class T>
void write_sums(const AttentionBackward& args, int64_t kv_head, const float* sums, int64_t parts,
                int64_t part_words, int64_t begin, int64_t end) {
  const AttentionShape& shape = args.row.shape;
  const int64_t width = round_up(shape.head_dim, kLanes), stride = shape.kv_heads * shape.head_dim;
  const int64_t words = attention_sum_words(shape.head_dim, args.row.queries);
  for (int which = 0; which < 2; ++which) {
    const float* from = sums + which * words;
    T* out = static_cast<T*>(which ? args.dv : args.dk) + kv_head * shape.head_dim;
    const f32x16 scale = splat(which ? 1.0f : shape.scale);
    for (int64_t token = begin; token < end; ++token)
      for (int64_t d = 0; d < shape.head_dim; d += kLanes) {
        f32x16 total = load(from + token * width + d);
        for (int64_t part = 1; part < parts; ++part)
          total += load(from + part * part_words + token * width + d);
        store_n(out + token * stride + d, total * scale,
                static_cast<int>(smaller(kLanes, shape.head_dim - d)));
      }
  }
}

template <class T>
int64_t scratch_bytes(const AttentionShape& shape, int64_t queries) {
  return Buffers<T>(shape, queries, nullptr).scratch.used_bytes();
}

}  // namespace

extern const AttentionBackwardKernels attention_backward_f32 = {scratch_bytes<float>,
                                                                backward<float>, write_sums<float>};
extern const AttentionBackwardKernels attention_backward_bf16 = {
    scratch_bytes<uint16_t>, backward<uint16_t>, write_sums<uint16_t>};

}  // namespace outsize::OUTSIZE_ISA
