// Forward attention of one block of queries, online softmax (Milakov and Gimelshein 2018; blocks as
// in FlashAttention, Dao et al. 2022). Queries are lanes throughout: scores are computed
// transposed, S[key][query], so that maxima, sums and rescaling need no work across lanes. The
// query heads that share a kv head, and some blocks of queries, share each packed block of keys and
// values. Weights are taken against a maximum that moves only when scores rise well above it:
// exponents have room for that, and a block that does not move it is weighed at one go. What moves
// it is decided for every query by itself.
#include "ops/attention/attention_mask.h"

namespace outsize::OUTSIZE_ISA {
namespace {

constexpr float kLog2E = 1.44269504f;
constexpr float kLn2 = 0.693147181f;
// How far, in powers of two, scores may rise above the maximum that weights are taken against.
constexpr float kMostAbove = 32.0f;

// Running state of one block of queries of one head.
struct HeadState {
  float* q;    // packed lanes [words][kBlock]
  float* out;  // unnormalised output [head_dim up to kTileRows][kBlock]
  float* top;  // what scores are weighed against, in powers of two
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
  int64_t width;  // elements of one token up to what pack_elements writes
  int64_t rows;   // elements of one token up to whole register tiles
};

// Queries per task. A short row still gives every thread something to do.
template <class T>
int64_t span(const AttentionShape& shape, int64_t queries) {
  constexpr int64_t kTasksWanted = 8;
  const int64_t group = shape.heads / shape.kv_heads;
  const int64_t blocks =
      smaller(queries / (kTasksWanted * kBlock), most_span<T>(shape.head_dim) / group);
  return kBlock * larger(larger(blocks, kLeastSpan / group), 1);
}

template <class T>
struct Buffers {
  Buffers(const AttentionShape& shape, int64_t queries, void* base) : scratch(base) {
    const Sizes<T> sizes(shape);
    keys = scratch.take(kKeys<T> * sizes.words);
    values = scratch.take(kKeys<T> / Words<T>::kDepth * sizes.width);
    weights = scratch.take(kKeys<T> / Words<T>::kDepth * kBlock);
    const int64_t blocks = (smaller(span<T>(shape, queries), queries) + kBlock - 1) / kBlock;
    states = scratch.take(head_words(sizes) * blocks * (shape.heads / shape.kv_heads));
  }
  static int64_t head_words(const Sizes<T>& sizes) {
    return (sizes.words + sizes.rows + 2) * kBlock;
  }
  HeadState state(const Sizes<T>& sizes, int64_t i) const {
    float* base = states + i * head_words(sizes);
    float* out = base + sizes.words * kBlock;
    return {base, out, out + sizes.rows * kBlock, out + (sizes.rows + 1) * kBlock};
  }

  Scratch scratch;
  float *keys, *values, *weights, *states;
};

// Scores of a block are scale·K·Qᵀ in powers of two; the highest of them per query, and where none
// is masked the highest product in its place.
template <bool kMasked>
struct TakeHighest {
  const Bounds& bounds;
  f32x16 scale;
  float* highest;
  template <int kVectors>
  [[gnu::always_inline]] inline void operator()(f32x16 (&acc)[kTileRows][kVectors], int64_t r,
                                                int64_t vector) const {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      float* lanes = highest + (vector + v) * kLanes;
      f32x16 high = load(lanes);
#pragma GCC unroll 4
      for (int i = 0; i < kTileRows; ++i) {
        f32x16 score = acc[i][v];
        if constexpr (kMasked) score = mask_score(bounds, vector + v, r + i, score * scale);
        high = max(high, score);
      }
      store(lanes, high);
    }
  }
};

// The same, and weights = 2^(score - top) as words summed over keys, with their sums.
template <class T, bool kMasked>
struct TakeWeights {
  const Buffers<T>& buffers;
  const HeadState& head;
  const Bounds& bounds;
  f32x16 scale;
  float *highest, *sums;
  template <int kVectors>
  [[gnu::always_inline]] inline void operator()(f32x16 (&acc)[kTileRows][kVectors], int64_t r,
                                                int64_t vector) const {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const int64_t lane = (vector + v) * kLanes;
      const f32x16 top = load(head.top + lane);
      f32x16 sum = load(sums + lane), high = load(highest + lane);
#pragma GCC unroll 2
      for (int i = 0; i < kTileRows; i += 2) {
        f32x16 a = acc[i][v], b = acc[i + 1][v];
        if constexpr (kMasked) {
          a = mask_score(bounds, vector + v, r + i, a * scale);
          b = mask_score(bounds, vector + v, r + i + 1, b * scale);
        }
        high = max(high, max(a, b));
        a = exp2(kMasked ? a - top : fma(a, scale, -top));
        b = exp2(kMasked ? b - top : fma(b, scale, -top));
        sum += a + b;
        store_row_pair<Words<T>::kPairs>(
            buffers.weights + (r + i) / Words<T>::kDepth * kBlock + lane, kBlock, a, b);
      }
      store(sums + lane, sum);
      store(highest + lane, high);
    }
  }
};

template <class T, class Done>
void multiply_keys(const Sizes<T>& sizes, const Buffers<T>& buffers, const HeadState& head,
                   const Slice& slice, Done done) {
  multiply<Words<T>::kPairs>({buffers.keys, sizes.words, 1}, {head.q, kBlock}, sizes.depth,
                             slice.keys, slice.begin, slice.end, done);
}

// Moves the tops that scores rise well above, and brings what was summed before to the new ones.
// Whether any moved.
template <class T>
bool raise_tops(const Sizes<T>& sizes, const HeadState& head, const Slice& slice,
                const float* highest) {
  f32x16 rise = zero();
  for (int64_t lane = slice.begin * kLanes; lane < slice.end * kLanes; lane += kLanes)
    rise = max(load(highest + lane) - load(head.top + lane), rise);
  if (!(max(rise) > kMostAbove)) return false;
  for (int64_t lane = slice.begin * kLanes; lane < slice.end * kLanes; lane += kLanes) {
    const f32x16 top = load(head.top + lane), high = load(highest + lane);
    const f32x16 raised = select(less(splat(kMostAbove), high - top), high, top);
    const f32x16 factor = exp2(top - raised), sum = load(head.sum + lane);
    store(head.top + lane, raised);
    if (!(max(sum) > 0.0f)) continue;  // nothing yet
    store(head.sum + lane, sum * factor);
    for (int64_t r = 0; r < sizes.rows; ++r) {
      float* out = head.out + r * kBlock + lane;
      store(out, load(out) * factor);
    }
  }
  return true;
}

template <class T, bool kMasked>
void weigh_block(const Sizes<T>& sizes, const Buffers<T>& buffers, const HeadState& head,
                 const Slice& slice, const Bounds& bounds, float factor) {
  const f32x16 scale = splat(factor);
  float highest[kBlock], sums[kBlock];
  const auto start = [&] {
    for (int64_t lane = 0; lane < kBlock; lane += kLanes) {
      store(highest + lane, splat(kMaskedScore));
      store(sums + lane, zero());
    }
  };
  const auto raise = [&] {
    if constexpr (!kMasked)
      for (int64_t lane = 0; lane < kBlock; lane += kLanes)
        store(highest + lane, load(highest + lane) * scale);
    return raise_tops(sizes, head, slice, highest);
  };
  if (head.sum[slice.begin * kLanes] == 0.0f) {  // most likely no query has seen a key
    start();
    multiply_keys(sizes, buffers, head, slice, TakeHighest<kMasked>{bounds, scale, highest});
    raise();
  }
  do {
    start();
    multiply_keys(sizes, buffers, head, slice,
                  TakeWeights<T, kMasked>{buffers, head, bounds, scale, highest, sums});
  } while (raise());
  for (int64_t lane = slice.begin * kLanes; lane < slice.end * kLanes; lane += kLanes)
    store(head.sum + lane, load(head.sum + lane) + load(sums + lane));
}

// out += Vᵀ·weights.
template <class T>
void add_values(const Sizes<T>& sizes, const Buffers<T>& buffers, const HeadState& head,
                const Slice& slice) {
  const int64_t depth = round_up(slice.keys, kTileRows) / Words<T>::kDepth;
  multiply_accumulate<Words<T>::kPairs>(element_rows<T>(buffers.values, sizes.width),
                                        {buffers.weights, kBlock}, depth, sizes.rows, slice.begin,
                                        slice.end, head.out, kBlock);
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

// One block of queries of one head meets one block of keys.
template <class T>
void meet(const Sizes<T>& sizes, const Buffers<T>& buffers, const HeadState& head, const Tile& tile,
          const Bounds& bounds, float scale) {
  for (int i = 0; i < tile.slices; ++i) {
    const Slice& slice = tile.slice[i];
    auto* weigh = tile.masked ? weigh_block<T, true> : weigh_block<T, false>;
    weigh(sizes, buffers, head, slice, bounds, scale);
    add_values<T>(sizes, buffers, head, slice);
  }
}

template <class T>
void pack_keys(const Sizes<T>& sizes, const Buffers<T>& buffers, const KeyTokens<T>& tokens) {
  const int64_t rows = round_up(tokens.k.count, kTileRows);
  pack_rows(tokens.k, rows, buffers.keys, sizes.words);
  pack_elements(tokens.v, rows, buffers.values, sizes.width);
}

template <class T>
void forward(const AttentionForward& args, int64_t kv_head, int64_t begin, int64_t end,
             void* workspace) {
  [[maybe_unused]] const MatrixUnit unit;
  const AttentionShape& shape = args.row.shape;
  const Sizes<T> sizes(shape);
  const Buffers<T> buffers(shape, args.row.queries, workspace);
  const int64_t group = shape.heads / shape.kv_heads;
  const int64_t blocks = (end - begin + kBlock - 1) / kBlock;
  Sight sight[kMostSpan<T>];
  int64_t first_keys = end + args.row.past;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t from = begin + b * kBlock, to = smaller(from + kBlock, end);
    sight[b] = sight_of(args.row, from, to);
    first_keys = smaller(first_keys, first_key_block<T>(sight[b]));
    for (int64_t h = 0; h < group; ++h)
      start_head<T>(args, sizes, kv_head * group + h, from, to,
                    buffers.state(sizes, b * group + h));
  }
  const int64_t last_key = args.row.past + end - 1;
  for (int64_t j = first_keys; j <= last_key; j += kKeys<T>) {
    pack_keys(sizes, buffers, key_tokens<T>(args.row, kv_head, j, last_key));
    for (int64_t b = 0; b < blocks; ++b) {
      if (!sees<T>(sight[b], j)) continue;
      const Tile tile = tile_of<T>(sight[b], j, smaller(kBlock, end - begin - b * kBlock));
      Bounds bounds;
      if (tile.masked) set_bounds(sight[b], j, bounds);
      for (int64_t h = 0; h < group; ++h)
        meet(sizes, buffers, buffers.state(sizes, b * group + h), tile, bounds,
             shape.scale * kLog2E);
    }
  }
  for (int64_t b = 0; b < blocks; ++b)
    for (int64_t h = 0; h < group; ++h)
      finish_head<T>(args, kv_head * group + h, begin + b * kBlock,
                     smaller(begin + (b + 1) * kBlock, end), buffers.state(sizes, b * group + h));
}

template <class T>
int64_t scratch_bytes(const AttentionShape& shape, int64_t queries) {
  return Buffers<T>(shape, queries, nullptr).scratch.used_bytes();
}

}  // namespace

extern const AttentionForwardKernels attention_forward_f32 = {scratch_bytes<float>, span<float>,
                                                              forward<float>};
extern const AttentionForwardKernels attention_forward_bf16 = {scratch_bytes<uint16_t>,
                                                               span<uint16_t>, forward<uint16_t>};

}  // namespace outsize::OUTSIZE_ISA
