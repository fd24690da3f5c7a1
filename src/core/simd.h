// Sixteen f32 lanes with one meaning on every instruction set: sources named *_simd.cc are compiled
// once each for baseline, AVX2 and AVX-512 (cmake/outsize.cmake) into namespace OUTSIZE_ISA.
// Always 16 lanes, so sums are grouped alike everywhere; instruction sets differ only by fused
// multiply-add and by AVX-512's bf16 conversion, which flushes subnormals (below 1.2e-38) to zero.
// This header and its users include no std header with templates: an inline function compiled with
// AVX-512 could otherwise be the one copy the linker keeps for every caller.
#pragma once

// GCC 12 takes the deliberately undefined operands inside its own intrinsics for a mistake of ours.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#include <stddef.h>
#include <stdint.h>

#include "core/streaming.h"

#ifndef OUTSIZE_ISA
#error "core/simd.h belongs in *_simd.cc sources, which are compiled once per instruction set"
#endif

#define OUTSIZE_INLINE [[gnu::always_inline]] static inline

namespace outsize::OUTSIZE_ISA {

// ---- The native vector: Part, kParts of which make 16 lanes -------------------------------------

#if OUTSIZE_ISA_avx512
using Part = __m512;
using IntPart = __m512i;
using MaskPart = __mmask16;
#elif OUTSIZE_ISA_avx2
using Part = __m256;
using IntPart = __m256i;
using MaskPart = __m256;  // all bits of a lane set or clear
#else
using Part = __m128;
using IntPart = __m128i;
using MaskPart = __m128;
#endif
constexpr int kPartLanes = sizeof(Part) / sizeof(float);
constexpr int kLanes = 16;
constexpr int kParts = kLanes / kPartLanes;

// Unrolls `statement` over the parts; i is the part.
#define OUTSIZE_EACH_PART _Pragma("GCC unroll 4") for (int i = 0; i < kParts; ++i)

struct f32x16 {
  Part part[kParts];
};
struct i32x16 {
  IntPart part[kParts];
};
struct mask16 {
  MaskPart part[kParts];
};

// ---- Arithmetic ---------------------------------------------------------------------------------

OUTSIZE_INLINE f32x16 splat(float x) {
  f32x16 r;
#if OUTSIZE_ISA_avx512
  OUTSIZE_EACH_PART r.part[i] = _mm512_set1_ps(x);
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART r.part[i] = _mm256_set1_ps(x);
#else
  OUTSIZE_EACH_PART r.part[i] = _mm_set1_ps(x);
#endif
  return r;
}

OUTSIZE_INLINE f32x16 zero() {
  return splat(0.0f);
}

OUTSIZE_INLINE f32x16 operator+(f32x16 a, f32x16 b) {
  OUTSIZE_EACH_PART a.part[i] = a.part[i] + b.part[i];
  return a;
}

OUTSIZE_INLINE f32x16 operator-(f32x16 a, f32x16 b) {
  OUTSIZE_EACH_PART a.part[i] = a.part[i] - b.part[i];
  return a;
}

OUTSIZE_INLINE f32x16 operator*(f32x16 a, f32x16 b) {
  OUTSIZE_EACH_PART a.part[i] = a.part[i] * b.part[i];
  return a;
}

OUTSIZE_INLINE f32x16 operator/(f32x16 a, f32x16 b) {
  OUTSIZE_EACH_PART a.part[i] = a.part[i] / b.part[i];
  return a;
}

OUTSIZE_INLINE f32x16 operator-(f32x16 a) {
  OUTSIZE_EACH_PART a.part[i] = -a.part[i];
  return a;
}

OUTSIZE_INLINE f32x16 operator+(f32x16 a, float b) {
  return a + splat(b);
}
OUTSIZE_INLINE f32x16 operator-(f32x16 a, float b) {
  return a - splat(b);
}
OUTSIZE_INLINE f32x16 operator*(f32x16 a, float b) {
  return a * splat(b);
}
OUTSIZE_INLINE f32x16 operator*(float a, f32x16 b) {
  return splat(a) * b;
}
OUTSIZE_INLINE f32x16 operator-(float a, f32x16 b) {
  return splat(a) - b;
}
OUTSIZE_INLINE f32x16 operator/(float a, f32x16 b) {
  return splat(a) / b;
}
OUTSIZE_INLINE f32x16& operator+=(f32x16& a, f32x16 b) {
  return a = a + b;
}

// a·b + c, rounded once where the processor can (AVX2, AVX-512), twice in the baseline.
OUTSIZE_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) {
#if OUTSIZE_ISA_avx512
  OUTSIZE_EACH_PART c.part[i] = _mm512_fmadd_ps(a.part[i], b.part[i], c.part[i]);
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART c.part[i] = _mm256_fmadd_ps(a.part[i], b.part[i], c.part[i]);
#else
  OUTSIZE_EACH_PART c.part[i] = a.part[i] * b.part[i] + c.part[i];
#endif
  return c;
}

// Larger of the two per lane; b where either is NaN (the processor's rule).
OUTSIZE_INLINE f32x16 max(f32x16 a, f32x16 b) {
#if OUTSIZE_ISA_avx512
  OUTSIZE_EACH_PART a.part[i] = _mm512_max_ps(a.part[i], b.part[i]);
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART a.part[i] = _mm256_max_ps(a.part[i], b.part[i]);
#else
  OUTSIZE_EACH_PART a.part[i] = _mm_max_ps(a.part[i], b.part[i]);
#endif
  return a;
}

// Smaller of the two per lane; b where either is NaN.
OUTSIZE_INLINE f32x16 min(f32x16 a, f32x16 b) {
#if OUTSIZE_ISA_avx512
  OUTSIZE_EACH_PART a.part[i] = _mm512_min_ps(a.part[i], b.part[i]);
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART a.part[i] = _mm256_min_ps(a.part[i], b.part[i]);
#else
  OUTSIZE_EACH_PART a.part[i] = _mm_min_ps(a.part[i], b.part[i]);
#endif
  return a;
}

OUTSIZE_INLINE f32x16 sqrt(f32x16 a) {
#if OUTSIZE_ISA_avx512
  OUTSIZE_EACH_PART a.part[i] = _mm512_sqrt_ps(a.part[i]);
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART a.part[i] = _mm256_sqrt_ps(a.part[i]);
#else
  OUTSIZE_EACH_PART a.part[i] = _mm_sqrt_ps(a.part[i]);
#endif
  return a;
}

// 1/√a by square root and division: correctly rounded twice, unlike the processor's estimate.
OUTSIZE_INLINE f32x16 rsqrt(f32x16 a) {
  return 1.0f / sqrt(a);
}

OUTSIZE_INLINE float sqrt(float x) {
  return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
}

// ---- Comparison and choice ----------------------------------------------------------------------

// a < b per lane; false where either is NaN.
OUTSIZE_INLINE mask16 less(f32x16 a, f32x16 b) {
  mask16 m;
#if OUTSIZE_ISA_avx512
  OUTSIZE_EACH_PART m.part[i] = _mm512_cmp_ps_mask(a.part[i], b.part[i], _CMP_LT_OQ);
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART m.part[i] = _mm256_cmp_ps(a.part[i], b.part[i], _CMP_LT_OQ);
#else
  OUTSIZE_EACH_PART m.part[i] = _mm_cmplt_ps(a.part[i], b.part[i]);
#endif
  return m;
}

// m ? a : b per lane.
OUTSIZE_INLINE f32x16 select(mask16 m, f32x16 a, f32x16 b) {
#if OUTSIZE_ISA_avx512
  OUTSIZE_EACH_PART a.part[i] = _mm512_mask_blend_ps(m.part[i], b.part[i], a.part[i]);
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART a.part[i] = _mm256_blendv_ps(b.part[i], a.part[i], m.part[i]);
#else
  OUTSIZE_EACH_PART a.part[i] =
      _mm_or_ps(_mm_and_ps(m.part[i], a.part[i]), _mm_andnot_ps(m.part[i], b.part[i]));
#endif
  return a;
}

// 0, 1, … 15.
OUTSIZE_INLINE f32x16 lane_numbers() {
  f32x16 r;
#if OUTSIZE_ISA_avx512
  r.part[0] = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#elif OUTSIZE_ISA_avx2
  const Part first = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7);
  OUTSIZE_EACH_PART r.part[i] = first + _mm256_set1_ps(8.0f * static_cast<float>(i));
#else
  const Part first = _mm_setr_ps(0, 1, 2, 3);
  OUTSIZE_EACH_PART r.part[i] = first + _mm_set1_ps(4.0f * static_cast<float>(i));
#endif
  return r;
}

// True in the lanes below n; n may lie outside [0, 16].
OUTSIZE_INLINE mask16 first_lanes(int n) {
  return less(lane_numbers(), splat(static_cast<float>(n)));
}

OUTSIZE_INLINE f32x16 abs(f32x16 a) {
#if OUTSIZE_ISA_avx512
  OUTSIZE_EACH_PART a.part[i] = _mm512_abs_ps(a.part[i]);
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART a.part[i] = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.part[i]);
#else
  OUTSIZE_EACH_PART a.part[i] = _mm_andnot_ps(_mm_set1_ps(-0.0f), a.part[i]);
#endif
  return a;
}

// ---- Memory -------------------------------------------------------------------------------------
// bf16 values are held as uint16_t here; addresses need no alignment beyond the element's.

// GCC's way to say "these bytes may be any type, at any address".
using AnyInt16 [[gnu::may_alias, gnu::aligned(1)]] = uint16_t;

OUTSIZE_INLINE f32x16 load(const float* p) {
  f32x16 r;
#if OUTSIZE_ISA_avx512
  OUTSIZE_EACH_PART r.part[i] = _mm512_loadu_ps(p + i * kPartLanes);
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART r.part[i] = _mm256_loadu_ps(p + i * kPartLanes);
#else
  OUTSIZE_EACH_PART r.part[i] = _mm_loadu_ps(p + i * kPartLanes);
#endif
  return r;
}

OUTSIZE_INLINE void store(float* p, f32x16 a) {
#if OUTSIZE_ISA_avx512
  OUTSIZE_EACH_PART _mm512_storeu_ps(p + i * kPartLanes, a.part[i]);
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART _mm256_storeu_ps(p + i * kPartLanes, a.part[i]);
#else
  OUTSIZE_EACH_PART _mm_storeu_ps(p + i * kPartLanes, a.part[i]);
#endif
}

// Sixteen bf16 values, widened.
OUTSIZE_INLINE f32x16 load(const uint16_t* p) {
  f32x16 r;
#if OUTSIZE_ISA_avx512
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p));
  r.part[0] = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i_u*>(p + 8 * i));
    r.part[i] = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
#else
  const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i_u*>(p));
  const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i_u*>(p + 8));
  const __m128i none = _mm_setzero_si128();
  r.part[0] = _mm_castsi128_ps(_mm_unpacklo_epi16(none, low));
  r.part[1] = _mm_castsi128_ps(_mm_unpackhi_epi16(none, low));
  r.part[2] = _mm_castsi128_ps(_mm_unpacklo_epi16(none, high));
  r.part[3] = _mm_castsi128_ps(_mm_unpackhi_epi16(none, high));
#endif
  return r;
}

#if !OUTSIZE_ISA_avx512
// The bf16 nearest to each lane, ties to even, in the high half of its 32 bits; NaN stays NaN.
OUTSIZE_INLINE IntPart round_part_to_bf16(Part a) {
#if OUTSIZE_ISA_avx2
  const __m256i u = _mm256_castps_si256(a);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  const __m256i near = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
  const __m256 is_nan = _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
  return _mm256_blendv_epi8(near, quiet, _mm256_castps_si256(is_nan));
#else
  const __m128i u = _mm_castps_si128(a);
  const __m128i odd = _mm_and_si128(_mm_srli_epi32(u, 16), _mm_set1_epi32(1));
  const __m128i near = _mm_add_epi32(u, _mm_add_epi32(odd, _mm_set1_epi32(0x7fff)));
  const __m128i quiet = _mm_or_si128(u, _mm_set1_epi32(0x400000));
  const __m128i is_nan = _mm_castps_si128(_mm_cmpunord_ps(a, a));
  return _mm_or_si128(_mm_and_si128(is_nan, quiet), _mm_andnot_si128(is_nan, near));
#endif
}
#endif

// Rounded to bf16: to nearest, ties to even; NaN stays NaN. Bf16Part is what one store takes.
#if OUTSIZE_ISA_avx512
using Bf16Part = __m256i;
OUTSIZE_INLINE Bf16Part bf16_part(f32x16 a, int) {
  return (__m256i)_mm512_cvtneps_pbh(a.part[0]);
}
#elif OUTSIZE_ISA_avx2
using Bf16Part = __m256i;
OUTSIZE_INLINE Bf16Part bf16_part(f32x16 a, int) {
  const __m256i low = _mm256_srli_epi32(round_part_to_bf16(a.part[0]), 16);
  const __m256i high = _mm256_srli_epi32(round_part_to_bf16(a.part[1]), 16);
  return _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
}
#else
using Bf16Part = __m128i;
// Arithmetic shift, so that the signed saturation of packs leaves the 16 bits as they are.
OUTSIZE_INLINE Bf16Part bf16_part(f32x16 a, int half) {
  const __m128i low = _mm_srai_epi32(round_part_to_bf16(a.part[2 * half]), 16);
  const __m128i high = _mm_srai_epi32(round_part_to_bf16(a.part[2 * half + 1]), 16);
  return _mm_packs_epi32(low, high);
}
#endif
constexpr int kBf16Parts = kLanes * 2 / static_cast<int>(sizeof(Bf16Part));

OUTSIZE_INLINE void store(uint16_t* p, f32x16 a) {
  for (int i = 0; i < kBf16Parts; ++i) {
    const Bf16Part bits = bf16_part(a, i);
#if OUTSIZE_ISA_avx2 || OUTSIZE_ISA_avx512
    _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(p), bits);
#else
    _mm_storeu_si128(reinterpret_cast<__m128i_u*>(p + 8 * i), bits);
#endif
  }
}

// Past the caches, in order only where parallel_for ends. The address is a multiple of
// kStreamAlignment.
constexpr uintptr_t kStreamAlignment = 32;

OUTSIZE_INLINE void stream(float* p, f32x16 a) {
#if OUTSIZE_ISA_avx512
  _mm256_stream_ps(p, _mm512_castps512_ps256(a.part[0]));
  _mm256_stream_ps(p + 8, _mm512_extractf32x8_ps(a.part[0], 1));
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART _mm256_stream_ps(p + i * kPartLanes, a.part[i]);
#else
  OUTSIZE_EACH_PART _mm_stream_ps(p + i * kPartLanes, a.part[i]);
#endif
}

OUTSIZE_INLINE void stream(uint16_t* p, f32x16 a) {
  for (int i = 0; i < kBf16Parts; ++i) {
    const Bf16Part bits = bf16_part(a, i);
#if OUTSIZE_ISA_avx2 || OUTSIZE_ISA_avx512
    _mm256_stream_si256(reinterpret_cast<__m256i*>(p), bits);
#else
    _mm_stream_si128(reinterpret_cast<__m128i*>(p + 8 * i), bits);
#endif
  }
}

// The first n values (0 ≤ n ≤ 16), zeros in the other lanes; reads nothing beyond them.
OUTSIZE_INLINE f32x16 load_n(const float* p, int n) {
#if OUTSIZE_ISA_avx512
  f32x16 r;
  r.part[0] = _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1u), p);
  return r;
#else
  float buffer[kLanes] = {};
  for (int i = 0; i < n; ++i) buffer[i] = p[i];
  return load(buffer);
#endif
}

OUTSIZE_INLINE f32x16 load_n(const uint16_t* p, int n) {
#if OUTSIZE_ISA_avx512
  const __m256i bits = _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << n) - 1u), p);
  f32x16 r;
  r.part[0] = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  return r;
#else
  uint16_t buffer[kLanes] = {};
  const AnyInt16* from = p;
  for (int i = 0; i < n; ++i) buffer[i] = from[i];
  return load(buffer);
#endif
}

// Stores the first n lanes (0 ≤ n ≤ 16).
OUTSIZE_INLINE void store_n(float* p, f32x16 a, int n) {
#if OUTSIZE_ISA_avx512
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1u), a.part[0]);
#else
  float buffer[kLanes];
  store(buffer, a);
  for (int i = 0; i < n; ++i) p[i] = buffer[i];
#endif
}

OUTSIZE_INLINE void store_n(uint16_t* p, f32x16 a, int n) {
#if OUTSIZE_ISA_avx512
  _mm256_mask_storeu_epi16(p, static_cast<__mmask16>((1u << n) - 1u), bf16_part(a, 0));
#else
  uint16_t buffer[kLanes];
  store(buffer, a);
  AnyInt16* to = p;
  for (int i = 0; i < n; ++i) to[i] = buffer[i];
#endif
}

// ---- Across lanes: always the tree (i, i+8), (i, i+4), (i, i+2), (i, i+1)
// ------------------------

OUTSIZE_INLINE float sum4(__m128 a) {
  a = a + _mm_movehl_ps(a, a);
  return _mm_cvtss_f32(a) + _mm_cvtss_f32(_mm_shuffle_ps(a, a, 1));
}

OUTSIZE_INLINE float max4(__m128 a) {
  a = _mm_max_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)));
}

// Sum of the 16 lanes.
OUTSIZE_INLINE float sum(f32x16 a) {
#if OUTSIZE_ISA_avx512
  const __m256 eight = _mm512_castps512_ps256(a.part[0]) + _mm512_extractf32x8_ps(a.part[0], 1);
  return sum4(_mm256_castps256_ps128(eight) + _mm256_extractf128_ps(eight, 1));
#elif OUTSIZE_ISA_avx2
  const __m256 eight = a.part[0] + a.part[1];
  return sum4(_mm256_castps256_ps128(eight) + _mm256_extractf128_ps(eight, 1));
#else
  return sum4((a.part[0] + a.part[2]) + (a.part[1] + a.part[3]));
#endif
}

// Largest of the 16 lanes; unspecified when one is NaN.
OUTSIZE_INLINE float max(f32x16 a) {
#if OUTSIZE_ISA_avx512
  const __m256 eight =
      _mm256_max_ps(_mm512_castps512_ps256(a.part[0]), _mm512_extractf32x8_ps(a.part[0], 1));
  return max4(_mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1)));
#elif OUTSIZE_ISA_avx2
  const __m256 eight = _mm256_max_ps(a.part[0], a.part[1]);
  return max4(_mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1)));
#else
  return max4(_mm_max_ps(_mm_max_ps(a.part[0], a.part[2]), _mm_max_ps(a.part[1], a.part[3])));
#endif
}

// ---- Loops: one body for whole vectors and for the tail -----------------------------------------

struct AllLanes {};
struct FirstLanes {
  int count;
};

template <class T>
OUTSIZE_INLINE f32x16 load(const T* p, AllLanes) {
  return load(p);
}
template <class T>
OUTSIZE_INLINE f32x16 load(const T* p, FirstLanes lanes) {
  return load_n(p, lanes.count);
}

// Brings what lies a good way beyond p into the second-level cache, further than the processor
// fetches by itself: for streams that come from memory or from a cache that is far away. Twice that
// far, memory itself reads more slowly (docs/PERFORMANCE.md, "Fetching ahead").
template <class T>
OUTSIZE_INLINE void fetch_ahead(const T* p) {
  constexpr int64_t kBytesAhead = 3072;
  __builtin_prefetch(reinterpret_cast<const char*>(p) + kBytesAhead, 0, 2);
}
template <class T, class Lanes>
OUTSIZE_INLINE f32x16 load_ahead(const T* p, Lanes lanes) {
  fetch_ahead(p);
  return load(p, lanes);
}

template <class T>
OUTSIZE_INLINE void store(T* p, f32x16 a, AllLanes) {
  store(p, a);
}
template <class T>
OUTSIZE_INLINE void store(T* p, f32x16 a, FirstLanes lanes) {
  store_n(p, a, lanes.count);
}

// A run of a kernel's result.
template <class T>
struct Target {
  T* data;
  bool streams;
};

// From element `offset` of the result on.
template <class T>
OUTSIZE_INLINE Target<T> target(Result result, int64_t offset = 0) {
  T* data = static_cast<T*>(result.data) + offset;
  return {data, result.streams && reinterpret_cast<uintptr_t>(data) % kStreamAlignment == 0};
}

// Element i of the target is a multiple of 16.
template <class T>
OUTSIZE_INLINE void store(Target<T> to, int64_t i, f32x16 a, AllLanes) {
  if (to.streams)
    stream(to.data + i, a);
  else
    store(to.data + i, a);
}
template <class T>
OUTSIZE_INLINE void store(Target<T> to, int64_t i, f32x16 a, FirstLanes lanes) {
  store_n(to.data + i, a, lanes.count);
}

// a in the lanes meant, 0 in the others: for sums over values that are not 0 where nothing was
// loaded.
OUTSIZE_INLINE f32x16 keep(f32x16 a, AllLanes) {
  return a;
}
OUTSIZE_INLINE f32x16 keep(f32x16 a, FirstLanes lanes) {
  return select(first_lanes(lanes.count), a, zero());
}

// Calls body(i, lanes) for i = begin, begin + 16, … below end; load and store take `lanes`, under
// which lanes beyond the end load as 0.
template <class Body>
OUTSIZE_INLINE void each_vector(int64_t begin, int64_t end, Body body) {
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) body(i, AllLanes{});
  if (i < end) body(i, FirstLanes{static_cast<int>(end - i)});
}

// Four partial sums, as many as hide the latency of an addition; always grouped the same way.
struct Sums {
  f32x16 part[4];
};

OUTSIZE_INLINE Sums no_sums() {
  return {{zero(), zero(), zero(), zero()}};
}

OUTSIZE_INLINE float sum(const Sums& sums) {
  return sum((sums.part[0] + sums.part[1]) + (sums.part[2] + sums.part[3]));
}

// As each_vector, with body(i, lanes, turn): turn goes round 0, 1, 2, 3 and picks a part of Sums.
template <class Body>
OUTSIZE_INLINE void each_vector_in_turn(int64_t begin, int64_t end, Body body) {
  int64_t i = begin;
  for (; i + 4 * kLanes <= end; i += 4 * kLanes) {
    body(i, AllLanes{}, 0);
    body(i + kLanes, AllLanes{}, 1);
    body(i + 2 * kLanes, AllLanes{}, 2);
    body(i + 3 * kLanes, AllLanes{}, 3);
  }
  for (; i + kLanes <= end; i += kLanes) body(i, AllLanes{}, 0);
  if (i < end) body(i, FirstLanes{static_cast<int>(end - i)}, 1);
}

}  // namespace outsize::OUTSIZE_ISA

#include "core/simd_math.h"
