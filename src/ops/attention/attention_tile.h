// Building blocks of the attention kernels: one register-tiled product and the packings that feed
// it. Only for *_simd.cc sources of attention and cached_attention. Every product of attention has
// the form C[r][lane] += sum_t A[r][t]·B[t][lane] over 32-bit words: a word is one f32, or two
// neighbouring bf16 along the summed axis where the processor multiplies bf16 pairs (AVX-512 BF16
// and AMX: products exact, summed in f32). Elsewhere bf16 is widened when packed.
#pragma once

#include "core/simd.h"
#include "core/simd_transpose.h"

namespace outsize::OUTSIZE_ISA {

// Tokens per block of queries.
constexpr int kBlock = 64;
// Register tile: kTileRows x kTileVectors accumulators of 16 lanes leave room for the operands.
constexpr int kTileRows = 4;
#if OUTSIZE_ISA_avx512
constexpr int kTileVectors = 4;
#else
constexpr int kTileVectors = 1;
#endif

// How elements of type T are held in words.
template <class T>
struct Words {
#if OUTSIZE_ISA_avx512
  static constexpr bool kPairs = sizeof(T) == 2;
#else
  static constexpr bool kPairs = false;
#endif
  static constexpr int kDepth = kPairs ? 2 : 1;  // elements per word
};

// Tokens per block of keys. Between products on tile registers, which follow from one another, the
// registers wait: twice as many keys wait half as often.
template <class T>
#if OUTSIZE_ISA_amx
constexpr int kKeys = Words<T>::kPairs ? 2 * kBlock : kBlock;
#else
constexpr int kKeys = kBlock;
#endif

OUTSIZE_INLINE int64_t round_up(int64_t x, int64_t step) {
  return (x + step - 1) / step * step;
}
OUTSIZE_INLINE int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}
OUTSIZE_INLINE int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}

// A span: the blocks of queries, and the heads of each, that share packed blocks of keys. As many
// as carry along what a second-level cache holds, of 2 MiB with AMX, whose products are so fast
// that keys come too slowly otherwise. Wide heads carry more.
constexpr int64_t kLeastSpan = 8;
template <class T>
#if OUTSIZE_ISA_amx
constexpr int64_t kMostSpan = Words<T>::kPairs ? 32 : kLeastSpan;
#else
constexpr int64_t kMostSpan = kLeastSpan;
#endif
template <class T>
OUTSIZE_INLINE int64_t most_span(int64_t head_dim) {
  constexpr int64_t kHeadDim = 64;
  return larger(smaller(kMostSpan<T> * kHeadDim / head_dim, kMostSpan<T>), kLeastSpan);
}

// Hands out 64-byte aligned pieces of a workspace; with a null base it only counts.
class Scratch {
 public:
  explicit Scratch(void* base) : base_(static_cast<char*>(base)) {}
  float* take(int64_t words) {
    float* piece = base_ ? reinterpret_cast<float*>(base_ + used_) : nullptr;
    used_ += round_up(words * 4, 64);
    return piece;
  }
  int64_t used_bytes() const { return used_; }

 private:
  char* base_;
  int64_t used_ = 0;
};

// ---- The product --------------------------------------------------------------------------------

template <bool kPairs>
OUTSIZE_INLINE f32x16 multiply_add(f32x16 a, f32x16 b, f32x16 c) {
#if OUTSIZE_ISA_avx512
  if constexpr (kPairs) {
    c.part[0] = _mm512_dpbf16_ps(c.part[0], (__m512bh)a.part[0], (__m512bh)b.part[0]);
    return c;
  }
#endif
  return fma(a, b, c);
}

// Operand whose words are broadcast: word (r, t) lies at data[r*row + t*step].
struct Rows {
  const float* data;
  int64_t row, step;
};
// Operand whose words are lanes: words (t, lane) lie at data[t*step + lane].
struct Columns {
  const float* data;
  int64_t step;
};

template <bool kPairs, int kVectors, class Init, class Done>
OUTSIZE_INLINE void multiply_panel(Rows a, Columns b, int64_t depth, int64_t rows, int64_t vector,
                                   Init init, Done done) {
  for (int64_t r = 0; r < rows; r += kTileRows) {
    f32x16 acc[kTileRows][kVectors];
    init(acc, r, vector);
    const float* pa = a.data + r * a.row;
    const float* pb = b.data + vector * kLanes;
    for (int64_t t = 0; t < depth; ++t, pa += a.step, pb += b.step) {
      f32x16 lanes[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) lanes[v] = load(pb + v * kLanes);
#pragma GCC unroll 4
      for (int i = 0; i < kTileRows; ++i) {
        const f32x16 word = splat(pa[i * a.row]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v)
          acc[i][v] = multiply_add<kPairs>(word, lanes[v], acc[i][v]);
      }
    }
    done(acc, r, vector);
  }
}

// Accumulators that start from nothing, and those that live in memory: tile (r, vector) at
// data[r*stride + vector*16].
struct Clear {
  template <class Acc>
  [[gnu::always_inline]] inline void operator()(Acc& acc, int64_t, int64_t) const {
    for (auto& row : acc)
      for (f32x16& x : row) x = zero();
  }
};
struct From {
  const float* data;
  int64_t stride;
  template <int kVectors>
  [[gnu::always_inline]] inline void operator()(f32x16 (&acc)[kTileRows][kVectors], int64_t r,
                                                int64_t vector) const {
#pragma GCC unroll 4
    for (int i = 0; i < kTileRows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        acc[i][v] = load(data + (r + i) * stride + (vector + v) * kLanes);
  }
};
struct To {
  float* data;
  int64_t stride;
  template <int kVectors>
  [[gnu::always_inline]] inline void operator()(f32x16 (&acc)[kTileRows][kVectors], int64_t r,
                                                int64_t vector) const {
#pragma GCC unroll 4
    for (int i = 0; i < kTileRows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        store(data + (r + i) * stride + (vector + v) * kLanes, acc[i][v]);
  }
};

template <bool kPairs, class Init, class Done>
OUTSIZE_INLINE void multiply_panels(Rows a, Columns b, int64_t depth, int64_t rows, int64_t begin,
                                    int64_t end, Init init, Done done) {
  int64_t v = begin;
  for (; v + kTileVectors <= end; v += kTileVectors)
    multiply_panel<kPairs, kTileVectors>(a, b, depth, rows, v, init, done);
  if constexpr (kTileVectors == 4) {
    switch (end - v) {
      case 3:
        return multiply_panel<kPairs, 3>(a, b, depth, rows, v, init, done);
      case 2:
        return multiply_panel<kPairs, 2>(a, b, depth, rows, v, init, done);
      case 1:
        return multiply_panel<kPairs, 1>(a, b, depth, rows, v, init, done);
      default:
        return;
    }
  }
}

}  // namespace outsize::OUTSIZE_ISA

#if OUTSIZE_ISA_amx
#include "ops/attention/attention_amx.h"
#endif

namespace outsize::OUTSIZE_ISA {

// A kernel holds one while it multiplies.
#if OUTSIZE_ISA_amx
using MatrixUnit = TileRegisters;
#else
struct MatrixUnit {};
#endif

// A·B for `rows` rows (rounded up to kTileRows) and lane vectors [begin, end). `done` takes the
// accumulators of one tile: (acc[kTileRows][n], first row, first vector).
template <bool kPairs, class Done>
OUTSIZE_INLINE void multiply(Rows a, Columns b, int64_t depth, int64_t rows, int64_t begin,
                             int64_t end, Done done) {
#if OUTSIZE_ISA_amx
  if constexpr (kPairs) return multiply_tiles(a, b, depth, rows, begin, end, done);
#endif
  multiply_panels<kPairs>(a, b, depth, rows, begin, end, Clear{}, done);
}

// c[r*stride + lane] += A·B for the same rows and lanes.
template <bool kPairs>
OUTSIZE_INLINE void multiply_accumulate(Rows a, Columns b, int64_t depth, int64_t rows,
                                        int64_t begin, int64_t end, float* c, int64_t stride) {
#if OUTSIZE_ISA_amx
  if constexpr (kPairs) return multiply_accumulate_tiles(a, b, depth, rows, begin, end, c, stride);
#endif
  multiply_panels<kPairs>(a, b, depth, rows, begin, end, From{c, stride}, To{c, stride});
}

// ---- Packing ------------------------------------------------------------------------------------

// Words of elements p[0..15·depth], zeros from element `count` on; reads nothing beyond.
template <class T>
OUTSIZE_INLINE f32x16 load_words(const T* p, int64_t count) {
#if OUTSIZE_ISA_avx512
  if constexpr (Words<T>::kPairs) {
    const __mmask32 mask = count >= 32  ? ~0u
                           : count <= 0 ? 0u
                                        : (1u << static_cast<unsigned>(count)) - 1u;
    f32x16 r;
    r.part[0] = _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(mask, p));
    return r;
  }
#endif
  if (count >= kLanes) return load(p);
  return count <= 0 ? zero() : load_n(p, static_cast<int>(count));
}

// Where a block of tokens lies: token r, element d of one head at data[r*stride + d].
template <class T>
struct Tokens {
  const T* data;
  int64_t stride, count, width;  // width: elements per token (head_dim)
};

// Sixteen words of a token from element `first` on; zeros for absent tokens and elements. kWhole:
// none is absent, which spares the bounds.
template <bool kWhole, class T>
OUTSIZE_INLINE f32x16 token_words(Tokens<T> x, int64_t token, int64_t first) {
  const T* p = x.data + token * x.stride + first;
  if constexpr (kWhole) return load_words(p, kLanes * Words<T>::kDepth);
  return token < x.count ? load_words(p, x.width - first) : zero();
}

// Whether tokens [0, tokens) and all elements of theirs up to whole vectors are there.
template <class T>
OUTSIZE_INLINE bool is_whole(Tokens<T> x, int64_t tokens) {
  return tokens <= x.count && x.width % (kLanes * Words<T>::kDepth) == 0;
}

// Words of a token side by side, for Rows with the sum over elements: out[token][words].
// Tokens from `count` up to `rows` become zeros.
template <class T>
OUTSIZE_INLINE void pack_rows(Tokens<T> x, int64_t rows, float* out, int64_t words) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t w = 0; w < words; w += kLanes) {
      const int64_t first = w * Words<T>::kDepth;
      store(out + r * words + w,
            r < x.count ? load_words(x.data + r * x.stride + first, x.width - first) : zero());
    }
}

template <bool kWhole, class T>
OUTSIZE_INLINE void pack_sixteen_lanes(Tokens<T> x, int64_t lane, float* out, int64_t words) {
  for (int64_t w = 0; w < words; w += kLanes) {
    f32x16 tile[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) tile[i] = token_words<kWhole>(x, lane + i, w * Words<T>::kDepth);
    transpose(tile);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) store(out + (w + i) * kBlock + lane, tile[i]);
  }
}

// Tokens as lanes, for Columns with the sum over elements: out[word][kBlock]; absent tokens are
// zeros.
template <class T>
OUTSIZE_INLINE void pack_lanes(Tokens<T> x, float* out, int64_t words) {
  for (int64_t lane = 0; lane < x.count; lane += kLanes) {
    if (is_whole(x, lane + kLanes))
      pack_sixteen_lanes<true>(x, lane, out, words);
    else
      pack_sixteen_lanes<false>(x, lane, out, words);
  }
}

#if OUTSIZE_ISA_avx512
// Pairs (a, b) of the bf16 elements of two vectors of 32: the first and the last 16 words.
OUTSIZE_INLINE void pair_elements(f32x16 a, f32x16 b, f32x16& low, f32x16& high) {
  const __m512i x = _mm512_castps_si512(a.part[0]), y = _mm512_castps_si512(b.part[0]);
  const __m512i order = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i order_high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  const __m512i even = _mm512_unpacklo_epi16(x, y), odd = _mm512_unpackhi_epi16(x, y);
  low.part[0] = _mm512_castsi512_ps(_mm512_permutex2var_epi64(even, order, odd));
  high.part[0] = _mm512_castsi512_ps(_mm512_permutex2var_epi64(even, order_high, odd));
}
#endif

// Elements as lanes, for the sum over tokens: out[token / depth][width], width a multiple of 32.
// Tokens from `count` up to `rows` become zeros.
template <class T>
OUTSIZE_INLINE void pack_tokens(Tokens<T> x, int64_t rows, float* out, int64_t width) {
#if OUTSIZE_ISA_avx512
  if constexpr (Words<T>::kPairs) {
    for (int64_t r = 0; r < rows; r += 2)
      for (int64_t d = 0; d < width; d += 32) {
        const T* p = x.data + r * x.stride + d;
        const f32x16 a = r < x.count ? load_words(p, x.width - d) : zero();
        const f32x16 b = r + 1 < x.count ? load_words(p + x.stride, x.width - d) : zero();
        f32x16 low, high;
        pair_elements(a, b, low, high);
        store(out + r / 2 * width + d, low);
        store(out + r / 2 * width + d + kLanes, high);
      }
    return;
  }
#endif
  pack_rows(x, rows, out, width);
}

// Elements as rows, for Rows with the sum over tokens, in at most kKeys / depth * width words.
// Tokens from `count` up to `rows` become zeros.
template <class T>
OUTSIZE_INLINE void pack_elements(Tokens<T> x, int64_t rows, float* out, int64_t width) {
#if OUTSIZE_ISA_amx
  if constexpr (Words<T>::kPairs) {
    for (int64_t r = 0; r < rows; r += 2 * kLanes)
      for (int64_t d = 0; d < width; d += 2 * kLanes) {
        f32x16 low[16], high[16];
        for (int i = 0; i < kLanes; ++i) {
          const int64_t token = r + 2 * i;
          const T* p = x.data + token * x.stride + d;
          const f32x16 a = token < x.count ? load_words(p, x.width - d) : zero();
          const f32x16 b = token + 1 < x.count ? load_words(p + x.stride, x.width - d) : zero();
          pair_elements(a, b, low[i], high[i]);
        }
        transpose(low);
        transpose(high);
        float* to = out + d * (kKeys<T> / 2) + r / 2;
        for (int i = 0; i < kLanes; ++i) {
          store(to + i * (kKeys<T> / 2), low[i]);
          store(to + (kLanes + i) * (kKeys<T> / 2), high[i]);
        }
      }
    return;
  }
#endif
  pack_tokens(x, rows, out, width);
}
template <class T>
OUTSIZE_INLINE Rows element_rows(const float* packed, int64_t width) {
#if OUTSIZE_ISA_amx
  if constexpr (Words<T>::kPairs) return {packed, kKeys<T> / 2, 1};
#endif
  return {packed, 1, width};
}

// Two rows of results as words whose sum runs over rows: pairs, or the rows as they are.
template <bool kPairs>
OUTSIZE_INLINE void store_row_pair(float* out, int64_t row_words, f32x16 a, f32x16 b) {
#if OUTSIZE_ISA_avx512
  if constexpr (kPairs) {
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(b.part[0], a.part[0]);  // a low, b high
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    _mm512_storeu_si512(out, _mm512_permutexvar_epi16(order, both));
    return;
  }
#endif
  store(out, a);
  store(out + row_words, b);
}

// 16 lanes of one row as words whose sum runs over lanes; `lane` counts elements.
template <bool kPairs>
OUTSIZE_INLINE void store_lanes(float* row, int64_t lane, f32x16 a) {
#if OUTSIZE_ISA_avx512
  if constexpr (kPairs) return store(reinterpret_cast<uint16_t*>(row) + lane, a);
#endif
  store(row + lane, a);
}

// Writes x[d][lane] (d < width, kBlock lanes) times factor[lane] to tokens: out[lane*stride + d].
template <class T>
OUTSIZE_INLINE void write_lanes(const float* x, const float* factor, int64_t count, int64_t width,
                                T* out, int64_t stride) {
  for (int64_t lane = 0; lane < count; lane += kLanes)
    for (int64_t d = 0; d < width; d += kLanes) {
      f32x16 tile[16];
      const f32x16 scale = load(factor + lane);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        tile[i] = d + i < width ? load(x + (d + i) * kBlock + lane) * scale : zero();
      transpose(tile);
      const int elements = static_cast<int>(smaller(kLanes, width - d));
      for (int i = 0; i < kLanes && lane + i < count; ++i) {
        T* to = out + (lane + i) * stride + d;
        if (elements == kLanes) {
          store(to, tile[i]);
        } else {
          store_n(to, tile[i], elements);
        }
      }
    }
}

}  // namespace outsize::OUTSIZE_ISA
