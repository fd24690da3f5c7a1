// Forward attention of one block of queries, online softmax (Milakov and Gimelshein 2018; blocks as
// in FlashAttention, Dao et al. 2022). Queries are lanes throughout: scores are computed
// transposed, S[key][query], so that maxima, sums and rescaling need no work across lanes. The
// query heads that share a kv head share each packed block of keys and values.
#include "ops/attention/attention_mask.h"

namespace outsize::OUTSIZE_ISA {
namespace {

constexpr float kLog2E = 1.44269504f;
constexpr float kLn2 = 0.693147181f;

// Running state of one query head.
struct HeadState {
  float* q;    // packed lanes [words][kBlock]
  float* out;  // unnormalised output [head_dim up to kTileRows][kBlock]
  float* top;  // running maximum of the scores, in powers of two
  float* sum;  // running sum of 2^(score - top)
};

template <class T>
struct Sizes {
  explicit Sizes(const AttentionShape& shape)
      : depth((shape.head_dim + Words<T>::kDepth - 1) / Words<T>::kDepth),
        words(round_up(depth, kLanes)),
        width(round_up(shape.head_dim, 32)),
        rows(round_up(shape.head_dim, kTileRows)) {}
  int64_t depth;  // words of one token
  int64_t words;  // the same up to whole vectors
  int64_t width;  // elements of one token up to what pack_tokens writes
  int64_t rows;   // elements of one token up to whole register tiles
};

template <class T>
struct Buffers {
  Buffers(const AttentionShape& shape, void* base) : scratch(base) {
    const Sizes<T> sizes(shape);
    keys = scratch.take(kBlock * sizes.words);
    values = scratch.take(kBlock / Words<T>::kDepth * sizes.width);
    scores = scratch.take(kBlock * kBlock);
    weights = scratch.take(kBlock / Words<T>::kDepth * kBlock);
    heads = scratch.take(head_words(sizes) * (shape.heads / shape.kv_heads));
  }
  static int64_t head_words(const Sizes<T>& sizes) {
    return (sizes.words + sizes.rows + 2) * kBlock;
  }
  HeadState head(const Sizes<T>& sizes, int64_t i) const {
    float* base = heads + i * head_words(sizes);
    float* out = base + sizes.words * kBlock;
    return {base, out, out + sizes.rows * kBlock, out + (sizes.rows + 1) * kBlock};
  }

  Scratch scratch;
  float *keys, *values, *scores, *weights, *heads;
};

struct Tile {
  KeyBlock keys;
  int64_t vectors;  // lane vectors in use
  const Bounds* bounds;
};

// scores = scale·K·Qᵀ in powers of two; top_now = the larger of `top` and the block's maxima.
template <class T, bool kMasked>
void score_block(const Sizes<T>& sizes, const Buffers<T>& buffers, const HeadState& head,
                 const Tile& tile, float scale, float* top_now) {
  constexpr bool kPairs = Words<T>::kPairs;
  for (int64_t v = 0; v < tile.vectors; ++v)
    store(top_now + v * kLanes, load(head.top + v * kLanes));
  const f32x16 factor = splat(scale);
  auto init = [&](auto& acc, int64_t, int64_t) __attribute__((always_inline)) {
    for (auto& row : acc)
      for (f32x16& x : row) x = zero();
  };
  auto done = [&](auto& acc, int64_t r, int64_t vector) __attribute__((always_inline)) {
    constexpr int kVectors = sizeof(acc[0]) / sizeof(f32x16);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const int64_t lane = (vector + v) * kLanes;
      f32x16 top = load(top_now + lane);
#pragma GCC unroll 4
      for (int i = 0; i < kTileRows; ++i) {
        f32x16 score = acc[i][v] * factor;
        if constexpr (kMasked) score = mask_score(*tile.bounds, vector + v, r + i, score);
        store(buffers.scores + (r + i) * kBlock + lane, score);
        top = max(top, score);
      }
      store(top_now + lane, top);
    }
  };
  multiply<kPairs>({buffers.keys, sizes.words, 1}, {head.q, kBlock}, sizes.depth, tile.keys.count,
                   0, tile.vectors, init, done);
}

// weights = 2^(score - top) as words summed over keys; sum and top advance; returns the factors
// that bring what was summed before to the new maximum.
template <class T>
void weigh_block(const Buffers<T>& buffers, const HeadState& head, const Tile& tile,
                 const float* top_now, float* rescale) {
  constexpr bool kPairs = Words<T>::kPairs;
  const int64_t rows = round_up(tile.keys.count, kTileRows);
  for (int64_t v = 0; v < tile.vectors; ++v) {
    const int64_t lane = v * kLanes;
    const f32x16 top = load(top_now + lane);
    const f32x16 factor = exp2(load(head.top + lane) - top);
    f32x16 even = zero(), odd = zero();
    for (int64_t r = 0; r < rows; r += 2) {
      const f32x16 a = exp2(load(buffers.scores + r * kBlock + lane) - top);
      const f32x16 b = exp2(load(buffers.scores + (r + 1) * kBlock + lane) - top);
      even += a;
      odd += b;
      store_row_pair<kPairs>(buffers.weights + r / Words<T>::kDepth * kBlock + lane, kBlock, a, b);
    }
    store(head.sum + lane, fma(load(head.sum + lane), factor, even + odd));
    store(head.top + lane, top);
    store(rescale + lane, factor);
  }
}

// out = out·rescale + Vᵀ·weights.
template <class T>
void add_values(const Sizes<T>& sizes, const Buffers<T>& buffers, const HeadState& head,
                const Tile& tile, const float* rescale) {
  auto init = [&](auto& acc, int64_t r, int64_t vector) __attribute__((always_inline)) {
    constexpr int kVectors = sizeof(acc[0]) / sizeof(f32x16);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const int64_t lane = (vector + v) * kLanes;
      const f32x16 factor = load(rescale + lane);
#pragma GCC unroll 4
      for (int i = 0; i < kTileRows; ++i)
        acc[i][v] = load(head.out + (r + i) * kBlock + lane) * factor;
    }
  };
  auto done = [&](auto& acc, int64_t r, int64_t vector) __attribute__((always_inline)) {
    constexpr int kVectors = sizeof(acc[0]) / sizeof(f32x16);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 4
      for (int i = 0; i < kTileRows; ++i)
        store(head.out + (r + i) * kBlock + (vector + v) * kLanes, acc[i][v]);
  };
  const int64_t depth = round_up(tile.keys.count, kTileRows) / Words<T>::kDepth;
  multiply<Words<T>::kPairs>({buffers.values, 1, sizes.width}, {buffers.weights, kBlock}, depth,
                             sizes.rows, 0, tile.vectors, init, done);
}

template <class T>
void start_head(const AttentionForward& args, const Sizes<T>& sizes, int64_t query_head,
                int64_t begin, int64_t end, const HeadState& head) {
  const AttentionShape& shape = args.row.shape;
  const int64_t stride = shape.heads * shape.head_dim;
  const T* q = static_cast<const T*>(args.row.q) + begin * stride + query_head * shape.head_dim;
  pack_lanes(Tokens<T>{q, stride, end - begin, shape.head_dim}, head.q, sizes.words);
  for (int64_t i = 0; i < sizes.rows * kBlock; i += kLanes) store(head.out + i, zero());
  for (int64_t i = 0; i < kBlock; i += kLanes) {
    store(head.top + i, splat(kFloorScore));
    store(head.sum + i, zero());
  }
}

template <class T>
void finish_head(const AttentionForward& args, int64_t query_head, int64_t begin, int64_t end,
                 const HeadState& head) {
  const AttentionShape& shape = args.row.shape;
  const int64_t stride = shape.heads * shape.head_dim;
  if (args.lse)
    for (int64_t i = 0; i < end - begin; ++i)
      args.lse[(begin + i) * shape.heads + query_head] =
          head.top[i] * kLn2 + __builtin_logf(head.sum[i]);
  float inverse[kBlock];
  for (int64_t i = 0; i < kBlock; i += kLanes) store(inverse + i, 1.0f / load(head.sum + i));
  T* out = static_cast<T*>(args.out) + begin * stride + query_head * shape.head_dim;
  write_lanes(head.out, inverse, end - begin, shape.head_dim, out, stride);
}

template <class T>
void forward(const AttentionForward& args, int64_t kv_head, int64_t begin, int64_t end,
             void* workspace) {
  const AttentionShape& shape = args.row.shape;
  const Sizes<T> sizes(shape);
  const Buffers<T> buffers(shape, workspace);
  const int64_t group = shape.heads / shape.kv_heads;
  for (int64_t h = 0; h < group; ++h)
    start_head<T>(args, sizes, kv_head * group + h, begin, end, buffers.head(sizes, h));

  const Sight sight = sight_of(args.row, begin, end);
  const int64_t stride = shape.kv_heads * shape.head_dim;
  const T* keys = static_cast<const T*>(args.row.k) + kv_head * shape.head_dim;
  const T* values = static_cast<const T*>(args.row.v) + kv_head * shape.head_dim;
  Bounds bounds;
  float top_now[kBlock], rescale[kBlock];
  for (int64_t j = first_key_block(sight); j <= sight.highest_last; j += kBlock) {
    const Tile tile{key_block(sight, j), (end - begin + kLanes - 1) / kLanes, &bounds};
    const int64_t rows = round_up(tile.keys.count, kTileRows);
    const int64_t offset = j * stride, count = tile.keys.count;
    pack_rows(Tokens<T>{keys + offset, stride, count, shape.head_dim}, rows, buffers.keys,
              sizes.words);
    pack_tokens(Tokens<T>{values + offset, stride, count, shape.head_dim}, rows, buffers.values,
                sizes.width);
    const bool masked = tile.keys.masked || rows != count;
    if (masked) set_bounds(sight, tile.keys, bounds);
    for (int64_t h = 0; h < group; ++h) {
      const HeadState head = buffers.head(sizes, h);
      auto* score = masked ? score_block<T, true> : score_block<T, false>;
      score(sizes, buffers, head, tile, shape.scale * kLog2E, top_now);
      weigh_block<T>(buffers, head, tile, top_now, rescale);
      add_values<T>(sizes, buffers, head, tile, rescale);
    }
  }
  for (int64_t h = 0; h < group; ++h)
    finish_head<T>(args, kv_head * group + h, begin, end, buffers.head(sizes, h));
}

template <class T>
int64_t scratch_bytes(const AttentionShape& shape) {
  return Buffers<T>(shape, nullptr).scratch.used_bytes();
}

}  // namespace

extern const AttentionForwardKernels attention_forward_f32 = {scratch_bytes<float>, forward<float>};
extern const AttentionForwardKernels attention_forward_bf16 = {scratch_bytes<uint16_t>,
                                                               forward<uint16_t>};

}  // namespace outsize::OUTSIZE_ISA
