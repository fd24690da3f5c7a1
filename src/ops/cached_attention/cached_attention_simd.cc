// One token against a run of cached keys. Elements are lanes, so the cache is read once, in the
// order it lies in memory; up to four query heads share each vector of keys and values.
#include "ops/cached_attention/cached_attention_simd.h"

#include "ops/attention/attention_tile.h"

namespace outsize::OUTSIZE_ISA {
namespace {

constexpr float kLog2E = 1.44269504f;
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

// Keys per step: all heads of a step's rows are worked on while they lie in the nearest caches.
constexpr int64_t kStepKeys = 16;

// Reads the lines of [begin, end) in the order they lie in memory. Head by head the rows would be
// met in strides that the processor's prefetching cannot follow, far below the rate of memory.
OUTSIZE_INLINE void read_ahead(const void* begin, const void* end) {
  for (const char* p = static_cast<const char*>(begin); p < end; p += 64) {
    const char byte = *p;
    asm volatile("" : : "r"(byte));
  }
}

struct Work {
  float* q;       // words [H][words]
  float* scores;  // [H][keys up to whole vectors]
  int64_t words, keys;
};

template <class T>
Work make_work(const AttentionShape& shape, int64_t keys, float* scratch) {
  const int64_t words =
      round_up((shape.head_dim + Words<T>::kDepth - 1) / Words<T>::kDepth, kLanes);
  return {scratch, scratch + shape.heads * words, words, round_up(keys, kLanes)};
}

// Some query heads of one kv head against keys [begin, end) of the chunk.
struct Step {
  int64_t kv_head, head;  // head: the first query head
  int64_t begin, end;
};

// scores[h][key] = scale·q[h]·k[key] in powers of two, sixteen (key, head) pairs at a time.
template <class T, int kHeads>
void score_keys(const DecodeChunk& chunk, const Work& work, const Step& step) {
  constexpr int kKeys = kLanes / kHeads;
  constexpr int64_t kElements = kLanes * Words<T>::kDepth;
  const int64_t stride = chunk.shape.kv_heads * chunk.shape.head_dim, width = chunk.shape.head_dim;
  const T* keys = static_cast<const T*>(chunk.k) + step.kv_head * width;
  for (int64_t j = step.begin; j < step.end; j += kKeys) {
    const T* row[kKeys];  // past the end: the last key again, its score is not used
    for (int i = 0; i < kKeys; ++i) row[i] = keys + smaller(j + i, step.end - 1) * stride;
    f32x16 acc[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) acc[i] = zero();
    for (int64_t d = 0; d < width; d += kElements) {
      f32x16 q[kHeads];
#pragma GCC unroll 4
      for (int h = 0; h < kHeads; ++h)
        q[h] = load(work.q + (step.head + h) * work.words + d / Words<T>::kDepth);
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
        if (at + i < work.keys)
          work.scores[(step.head + h) * work.keys + at + i] = scores[h * kKeys + i];
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

// partial[h] += sum over keys of weight·v for kVectors vectors of elements from `first` on.
template <class T, int kHeads, int kVectors>
OUTSIZE_INLINE void sum_values(const DecodeChunk& chunk, const Work& work, const Step& step,
                               int64_t first) {
  const int64_t stride = chunk.shape.kv_heads * chunk.shape.head_dim, width = chunk.shape.head_dim;
  const T* value = static_cast<const T*>(chunk.v) + step.begin * stride + step.kv_head * width;
  const float* weights = work.scores + step.head * work.keys + step.begin - chunk.begin;
  float* partials = chunk.partials + step.head * chunk.partial_stride + first;
  const int64_t count = step.end - step.begin, left = width - first;
  f32x16 acc[kHeads][kVectors];
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      acc[h][v] = load(partials + h * chunk.partial_stride + v * kLanes);
  for (int64_t j = 0; j < count; ++j, value += stride) {
    f32x16 x[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const int64_t lanes = left - v * kLanes;
      const T* p = value + first + v * kLanes;
      x[v] = lanes >= kLanes ? load(p) : load_n(p, static_cast<int>(lanes));
    }
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) {
      const f32x16 weight = splat(weights[h * work.keys + j]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[h][v] = fma(weight, x[v], acc[h][v]);
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      store(partials + h * chunk.partial_stride + v * kLanes, acc[h][v]);
}

template <class T, int kHeads>
[[gnu::noinline]] void sum_all_values(const DecodeChunk& chunk, const Work& work,
                                      const Step& step) {
  const int64_t width = chunk.shape.head_dim;
  int64_t d = 0;
  for (; d + (kSumVectors - 1) * kLanes < width; d += kSumVectors * kLanes)
    sum_values<T, kHeads, kSumVectors>(chunk, work, step, d);
  for (; d < width; d += kLanes) sum_values<T, kHeads, 1>(chunk, work, step, d);
}

// Visits the query heads of every kv head over keys [begin, end): four, two or one of one kv head
// at a time.
template <class Four, class Two, class One>
OUTSIZE_INLINE void each_head(const AttentionShape& shape, int64_t begin, int64_t end, Four four,
                              Two two, One one) {
  const int64_t group = shape.heads / shape.kv_heads;
  for (int64_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
    Step step{kv_head, kv_head * group, begin, end};
    const int64_t last = step.head + group;
    for (; step.head + 4 <= last; step.head += 4) four(step);
    for (; step.head + 2 <= last; step.head += 2) two(step);
    for (; step.head < last; ++step.head) one(step);
  }
}

template <class T>
void decode(const DecodeChunk& chunk, float* scratch) {
  const AttentionShape& shape = chunk.shape;
  const Work work = make_work<T>(shape, chunk.end - chunk.begin, scratch);
  const int64_t width = shape.head_dim, stride = shape.kv_heads * width;
  for (int64_t h = 0; h < shape.heads; ++h)
    pack_rows(Tokens<T>{static_cast<const T*>(chunk.q) + h * width, 0, 1, width}, 1,
              work.q + h * work.words, work.words);
  const T *keys = static_cast<const T*>(chunk.k), *values = static_cast<const T*>(chunk.v);
  for (int64_t j = chunk.begin; j < chunk.end; j += kStepKeys) {
    const int64_t end = smaller(j + kStepKeys, chunk.end);
    read_ahead(keys + j * stride, keys + end * stride);
    each_head(
        shape, j, end, [&](const Step& s) { score_keys<T, 4>(chunk, work, s); },
        [&](const Step& s) { score_keys<T, 2>(chunk, work, s); },
        [&](const Step& s) { score_keys<T, 1>(chunk, work, s); });
  }
  for (int64_t h = 0; h < shape.heads; ++h) {
    float* partial = chunk.partials + h * chunk.partial_stride;
    float* last = partial + round_up(width, kLanes);
    for (float* p = partial; p < last; p += kLanes) store(p, zero());
    weigh_keys(work.scores + h * work.keys, chunk.end - chunk.begin, last, last + 1);
  }
  for (int64_t j = chunk.begin; j < chunk.end; j += kStepKeys) {
    const int64_t end = smaller(j + kStepKeys, chunk.end);
    read_ahead(values + j * stride, values + end * stride);
    each_head(
        shape, j, end, [&](const Step& s) { sum_all_values<T, 4>(chunk, work, s); },
        [&](const Step& s) { sum_all_values<T, 2>(chunk, work, s); },
        [&](const Step& s) { sum_all_values<T, 1>(chunk, work, s); });
  }
}

template <class T>
int64_t scratch_words(const AttentionShape& shape, int64_t keys) {
  const Work work = make_work<T>(shape, keys, nullptr);
  return shape.heads * (work.words + work.keys);
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
