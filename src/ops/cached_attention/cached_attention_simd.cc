// One token against a run of cached keys. Elements are lanes, so the cache is read once, in the
// order it lies in memory; up to four query heads share each vector of keys and values.
#include "ops/cached_attention/cached_attention_simd.h"

#include "ops/attention/attention_tile.h"

namespace outsize::OUTSIZE_ISA {
namespace {

constexpr float kLog2E = 1.44269504f;
constexpr int kHeadsMax = 4;
constexpr int kSumVectors = kTileVectors;  // vectors of output held in registers per head

// Sum of the lanes of x[i] in lane i.
OUTSIZE_INLINE f32x16 sum_lanes(f32x16 (&x)[16]) {
  transpose(x);
#pragma GCC unroll 4
  for (int step = 8; step > 0; step /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < step; ++i) x[i] = x[i] + x[i + step];
  return x[0];
}

// Rows of one head lie far apart in the cache, where the processor's own prefetching fails: ask for
// the lines of the row this many keys ahead (measured: 8 to 48 are alike, without it a third of the
// rate).
constexpr int64_t kKeysAhead = 24;

OUTSIZE_INLINE void prefetch(const void* row, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(row) + i);
}

struct Work {
  float* q;       // words [kHeadsMax][words]
  float* scores;  // [kHeadsMax][keys up to whole vectors]
  int64_t words, keys;
};

template <class T>
Work make_work(int64_t head_dim, int64_t keys, float* scratch) {
  const int64_t words = round_up((head_dim + Words<T>::kDepth - 1) / Words<T>::kDepth, kLanes);
  return {scratch, scratch + kHeadsMax * words, words, round_up(keys, kLanes)};
}

// scores[h][key] = scale·q[h]·k[key] in powers of two, sixteen (key, head) pairs at a time.
template <class T, int kHeads>
void score_keys(const DecodeChunk& chunk, const Work& work) {
  constexpr int kKeys = kLanes / kHeads;
  constexpr int64_t kStep = kLanes * Words<T>::kDepth;
  const int64_t stride = chunk.shape.kv_heads * chunk.shape.head_dim, width = chunk.shape.head_dim;
  const T* keys = static_cast<const T*>(chunk.k) + chunk.kv_head * width;
  for (int64_t j = chunk.begin; j < chunk.end; j += kKeys) {
    const T* row[kKeys];  // past the end: the last key again, its score is not used
    for (int i = 0; i < kKeys; ++i) row[i] = keys + smaller(j + i, chunk.end - 1) * stride;
    for (int i = 0; i < kKeys; ++i)
      prefetch(keys + smaller(j + i + kKeysAhead, chunk.end - 1) * stride, width * sizeof(T));
    f32x16 acc[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) acc[i] = zero();
    for (int64_t d = 0; d < width; d += kStep) {
      f32x16 q[kHeads];
#pragma GCC unroll 4
      for (int h = 0; h < kHeads; ++h) q[h] = load(work.q + h * work.words + d / Words<T>::kDepth);
#pragma GCC unroll 16
      for (int i = 0; i < kKeys; ++i) {
        const f32x16 key = load_words(row[i] + d, width - d);
#pragma GCC unroll 4
        for (int h = 0; h < kHeads; ++h)
          acc[h * kKeys + i] = multiply_add<Words<T>::kPairs>(q[h], key, acc[h * kKeys + i]);
      }
    }
    float scores[kLanes];
    store(scores, sum_lanes(acc) * (chunk.shape.scale * kLog2E));
    const int64_t at = j - chunk.begin;
    for (int h = 0; h < kHeads; ++h)
      for (int i = 0; i < kKeys; ++i)
        if (at + i < work.keys) work.scores[h * work.keys + at + i] = scores[h * kKeys + i];
  }
}

// Turns scores into weights 2^(score - largest); returns both largest and sum.
void weigh_keys(float* scores, int64_t count, float* largest, float* total) {
  const f32x16 none = splat(-1e30f);
  const int64_t whole = count / kLanes * kLanes;
  const int rest = static_cast<int>(count - whole);
  f32x16 top = none;
  for (int64_t j = 0; j < whole; j += kLanes) top = max(top, load(scores + j));
  if (rest) top = max(top, select(first_lanes(rest), load(scores + whole), none));
  *largest = max(top);
  f32x16 sums = zero();
  for (int64_t j = 0; j < count; j += kLanes) {
    f32x16 weight = exp2(load(scores + j) - *largest);
    if (j == whole) weight = select(first_lanes(rest), weight, zero());
    store(scores + j, weight);
    sums += weight;
  }
  *total = sum(sums);
}

// partial[h] = sum over keys of weight·v for up to kSumVectors vectors of elements from `first` on.
template <class T, int kHeads, int kVectors>
OUTSIZE_INLINE void sum_values(const DecodeChunk& chunk, const Work& work, float* partials,
                               int64_t first) {
  const int64_t stride = chunk.shape.kv_heads * chunk.shape.head_dim, width = chunk.shape.head_dim;
  const T* value = static_cast<const T*>(chunk.v) + chunk.begin * stride + chunk.kv_head * width;
  const int64_t count = chunk.end - chunk.begin, left = width - first;
  f32x16 acc[kHeads][kVectors];
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[h][v] = zero();
  for (int64_t j = 0; j < count; ++j, value += stride) {
    prefetch(value + smaller(kKeysAhead, count - 1 - j) * stride + first,
             kVectors * kLanes * sizeof(T));
    f32x16 x[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const int64_t lanes = left - v * kLanes;
      const T* p = value + first + v * kLanes;
      x[v] = lanes >= kLanes ? load(p) : load_n(p, static_cast<int>(lanes));
    }
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) {
      const f32x16 weight = splat(work.scores[h * work.keys + j]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[h][v] = fma(weight, x[v], acc[h][v]);
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      store(partials + h * chunk.partial_stride + first + v * kLanes, acc[h][v]);
}

template <class T, int kHeads>
void decode_heads(const DecodeChunk& chunk, const Work& work, int64_t head) {
  const int64_t width = chunk.shape.head_dim, group = chunk.shape.heads / chunk.shape.kv_heads;
  for (int h = 0; h < kHeads; ++h) {
    const T* q = static_cast<const T*>(chunk.q) + (chunk.kv_head * group + head + h) * width;
    pack_rows(Tokens<T>{q, 0, 1, width}, 1, work.q + h * work.words, work.words);
  }
  score_keys<T, kHeads>(chunk, work);
  float* partials = chunk.partials + head * chunk.partial_stride;
  for (int h = 0; h < kHeads; ++h) {
    float* last = partials + h * chunk.partial_stride + round_up(width, kLanes);
    weigh_keys(work.scores + h * work.keys, chunk.end - chunk.begin, last, last + 1);
  }
  int64_t d = 0;
  for (; d + (kSumVectors - 1) * kLanes < width; d += kSumVectors * kLanes)
    sum_values<T, kHeads, kSumVectors>(chunk, work, partials, d);
  for (; d < width; d += kLanes) sum_values<T, kHeads, 1>(chunk, work, partials, d);
}

template <class T>
void decode(const DecodeChunk& chunk, float* scratch) {
  const Work work = make_work<T>(chunk.shape.head_dim, chunk.end - chunk.begin, scratch);
  const int64_t group = chunk.shape.heads / chunk.shape.kv_heads;
  int64_t head = 0;
  for (; head + 4 <= group; head += 4) decode_heads<T, 4>(chunk, work, head);
  for (; head + 2 <= group; head += 2) decode_heads<T, 2>(chunk, work, head);
  for (; head < group; ++head) decode_heads<T, 1>(chunk, work, head);
}

template <class T>
int64_t scratch_words(int64_t head_dim, int64_t keys) {
  const Work work = make_work<T>(head_dim, keys, nullptr);
  return kHeadsMax * (work.words + work.keys);
}

template <class T>
void join(const float* partials, int64_t count, int64_t head_dim, void* out) {
  const int64_t step = decode_partial_words(head_dim), last = round_up(head_dim, kLanes);
  f32x16 top = splat(-1e30f), total = zero();
  for (int64_t c = 0; c < count; ++c) top = max(top, splat(partials[c * step + last]));
  for (int64_t c = 0; c < count; ++c) {
    const float* partial = partials + c * step + last;
    total = fma(exp2(splat(partial[0]) - top), splat(partial[1]), total);
  }
  for (int64_t d = 0; d < head_dim; d += kLanes) {
    f32x16 x = zero();
    for (int64_t c = 0; c < count; ++c)
      x = fma(exp2(splat(partials[c * step + last]) - top), load(partials + c * step + d), x);
    store_n(static_cast<T*>(out) + d, x / total, static_cast<int>(smaller(kLanes, head_dim - d)));
  }
}

}  // namespace

extern const DecodeKernels decode_f32 = {scratch_words<float>, decode<float>, join<float>};
extern const DecodeKernels decode_bf16 = {scratch_words<uint16_t>, decode<uint16_t>,
                                          join<uint16_t>};

}  // namespace outsize::OUTSIZE_ISA
