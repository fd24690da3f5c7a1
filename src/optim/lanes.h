// What the kernels here need beyond core/simd.h: masters in two halves, f64 sums of squares, and
// loops whose last, partial group of 16 goes through the same arithmetic as the others, so that the
// bits of an element do not depend on where a task ends.
#pragma once

#include "core/simd.h"
#include "optim/kernels.h"

namespace outsize::OUTSIZE_ISA {

#define OUTSIZE_MEMBER [[gnu::always_inline]] inline

// ---- Groups of 16 -------------------------------------------------------------------------------

// Calls f(i, n) for i = begin, begin + 16, …: n is 16 but for the last.
template <class F>
OUTSIZE_INLINE void each_group(int64_t begin, int64_t end, F f) {
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) f(i, kLanes);
  if (i < end) f(i, static_cast<int>(end - i));
}

// The first n of 16 values; zeros beyond.
template <class T>
OUTSIZE_INLINE f32x16 get(const T* p, int n) {
  fetch_ahead(p);
  return n == kLanes ? load(p) : load_n(p, n);
}
template <class T>
OUTSIZE_INLINE void put(T* p, f32x16 a, int n) {
  if (n == kLanes)
    store(p, a);
  else
    store_n(p, a, n);
}

// ---- Masters ------------------------------------------------------------------------------------

// Adds the halves of 16 masters: (weight << 16) + low, as 32-bit integers.
OUTSIZE_INLINE f32x16 join_halves(const uint16_t* weight, const int16_t* low) {
  f32x16 r;
#if OUTSIZE_ISA_avx512
  const __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i_u*)weight));
  const __m512i rest = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i_u*)low));
  r.part[0] = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(high, 16), rest));
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART {
    const __m256i high = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i_u*)(weight + 8 * i)));
    const __m256i rest = _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i_u*)(low + 8 * i)));
    r.part[i] = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(high, 16), rest));
  }
#else
  for (int half = 0; half < 2; ++half) {
    const __m128i high = _mm_loadu_si128((const __m128i_u*)(weight + 8 * half));
    const __m128i rest = _mm_loadu_si128((const __m128i_u*)(low + 8 * half));
    const __m128i none = _mm_setzero_si128();
    const __m128i first = _mm_add_epi32(_mm_unpacklo_epi16(none, high),
                                        _mm_srai_epi32(_mm_unpacklo_epi16(none, rest), 16));
    const __m128i second = _mm_add_epi32(_mm_unpackhi_epi16(none, high),
                                         _mm_srai_epi32(_mm_unpackhi_epi16(none, rest), 16));
    r.part[2 * half] = _mm_castsi128_ps(first);
    r.part[2 * half + 1] = _mm_castsi128_ps(second);
  }
#endif
  return r;
}

// A NaN becomes the quiet NaN of its sign whose low half is 0: other payloads could round to
// infinity or, carrying into the sign, to zero.
OUTSIZE_INLINE IntPart settle_nan(Part a) {
#if OUTSIZE_ISA_avx512
  const __m512i bits = _mm512_castps_si512(a);
  const __m512i sign = _mm512_and_si512(bits, _mm512_set1_epi32(INT32_MIN));
  const __m512i nan = _mm512_or_si512(sign, _mm512_set1_epi32(0x7fc00000));
  return _mm512_mask_mov_epi32(bits, _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), nan);
#elif OUTSIZE_ISA_avx2
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i sign = _mm256_and_si256(bits, _mm256_set1_epi32(INT32_MIN));
  const __m256i nan = _mm256_or_si256(sign, _mm256_set1_epi32(0x7fc00000));
  return _mm256_blendv_epi8(bits, nan, _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)));
#else
  const __m128i bits = _mm_castps_si128(a);
  const __m128i sign = _mm_and_si128(bits, _mm_set1_epi32(INT32_MIN));
  const __m128i nan = _mm_or_si128(sign, _mm_set1_epi32(0x7fc00000));
  const __m128i is_nan = _mm_castps_si128(_mm_cmpunord_ps(a, a));
  return _mm_or_si128(_mm_and_si128(is_nan, nan), _mm_andnot_si128(is_nan, bits));
#endif
}

// Splits 16 masters: weight = high half of (bits + 0x8000), low = what join_halves then lacks.
OUTSIZE_INLINE void split_halves(uint16_t* weight, int16_t* low, f32x16 master) {
#if OUTSIZE_ISA_avx512
  const __m512i bits = settle_nan(master.part[0]);
  const __m512i near = _mm512_add_epi32(bits, _mm512_set1_epi32(0x8000));
  _mm256_storeu_si256((__m256i_u*)weight, _mm512_cvtepi32_epi16(_mm512_srli_epi32(near, 16)));
  _mm256_storeu_si256((__m256i_u*)low, _mm512_cvtepi32_epi16(bits));
#else
  // Arithmetic shifts, so that the signed saturation of packs leaves the 16 bits as they are.
  for (int half = 0; half < 2; ++half) {
#if OUTSIZE_ISA_avx2
    const __m256i bits = settle_nan(master.part[half]);
    const __m256i near = _mm256_add_epi32(bits, _mm256_set1_epi32(0x8000));
    const __m256i high = _mm256_srai_epi32(near, 16);
    const __m256i rest = _mm256_srai_epi32(_mm256_slli_epi32(bits, 16), 16);
    const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(high, rest), 0xd8);
    _mm_storeu_si128((__m128i_u*)(weight + 8 * half), _mm256_castsi256_si128(both));
    _mm_storeu_si128((__m128i_u*)(low + 8 * half), _mm256_extracti128_si256(both, 1));
#else
    __m128i high[2];
    __m128i rest[2];
    for (int i = 0; i < 2; ++i) {
      const __m128i bits = settle_nan(master.part[2 * half + i]);
      high[i] = _mm_srai_epi32(_mm_add_epi32(bits, _mm_set1_epi32(0x8000)), 16);
      rest[i] = _mm_srai_epi32(_mm_slli_epi32(bits, 16), 16);
    }
    _mm_storeu_si128((__m128i_u*)(weight + 8 * half), _mm_packs_epi32(high[0], high[1]));
    _mm_storeu_si128((__m128i_u*)(low + 8 * half), _mm_packs_epi32(rest[0], rest[1]));
#endif
  }
#endif
}

// f32 weights: their own master.
struct WholeMaster {
  explicit WholeMaster(MasterAddress address) : weight(static_cast<float*>(address.weight)) {}
  OUTSIZE_MEMBER f32x16 get(int64_t i, int n) const { return OUTSIZE_ISA::get(weight + i, n); }
  OUTSIZE_MEMBER void put(int64_t i, f32x16 a, int n) const { OUTSIZE_ISA::put(weight + i, a, n); }
  float* weight;
};

// bf16 weights with the low halves of their masters.
struct SplitMaster {
  explicit SplitMaster(MasterAddress address)
      : weight(static_cast<uint16_t*>(address.weight)), low(address.low) {}

  OUTSIZE_MEMBER f32x16 get(int64_t i, int n) const {
    fetch_ahead(weight + i);
    fetch_ahead(low + i);
    if (n == kLanes) return join_halves(weight + i, low + i);
    uint16_t high[kLanes] = {};
    int16_t rest[kLanes] = {};
    __builtin_memcpy(high, weight + i, static_cast<size_t>(n) * sizeof(uint16_t));
    __builtin_memcpy(rest, low + i, static_cast<size_t>(n) * sizeof(int16_t));
    return join_halves(high, rest);
  }

  OUTSIZE_MEMBER void put(int64_t i, f32x16 a, int n) const {
    if (n == kLanes) return split_halves(weight + i, low + i, a);
    uint16_t high[kLanes];
    int16_t rest[kLanes];
    split_halves(high, rest, a);
    __builtin_memcpy(weight + i, high, static_cast<size_t>(n) * sizeof(uint16_t));
    __builtin_memcpy(low + i, rest, static_cast<size_t>(n) * sizeof(int16_t));
  }

  uint16_t* weight;
  int16_t* low;
};

// ---- Sums of squares in f64 ---------------------------------------------------------------------

#if OUTSIZE_ISA_avx512
using DoublePart = __m512d;
#elif OUTSIZE_ISA_avx2
using DoublePart = __m256d;
#else
using DoublePart = __m128d;
#endif
constexpr int kDoubleLanes = sizeof(DoublePart) / sizeof(double);
constexpr int kDoubleParts = kLanes / kDoubleLanes;

struct f64x16 {
  DoublePart part[kDoubleParts];
};

OUTSIZE_INLINE f64x16 widen(f32x16 a) {
  f64x16 r;
  OUTSIZE_EACH_PART {
#if OUTSIZE_ISA_avx512
    r.part[2 * i] = _mm512_cvtps_pd(_mm512_castps512_ps256(a.part[i]));
    r.part[2 * i + 1] = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.part[i], 1));
#elif OUTSIZE_ISA_avx2
    r.part[2 * i] = _mm256_cvtps_pd(_mm256_castps256_ps128(a.part[i]));
    r.part[2 * i + 1] = _mm256_cvtps_pd(_mm256_extractf128_ps(a.part[i], 1));
#else
    r.part[2 * i] = _mm_cvtps_pd(a.part[i]);
    r.part[2 * i + 1] = _mm_cvtps_pd(_mm_movehl_ps(a.part[i], a.part[i]));
#endif
  }
  return r;
}

// The square of an f32 fits f64 exactly, so it does not matter whether the processor fuses this.
OUTSIZE_INLINE f64x16 squares(f32x16 a) {
  f64x16 r = widen(a);
  for (int i = 0; i < kDoubleParts; ++i) r.part[i] = r.part[i] * r.part[i];
  return r;
}

OUTSIZE_INLINE f64x16& operator+=(f64x16& a, f64x16 b) {
  for (int i = 0; i < kDoubleParts; ++i) a.part[i] = a.part[i] + b.part[i];
  return a;
}

// The lanes, added in one order on every instruction set.
OUTSIZE_INLINE double sum(f64x16 a) {
  double lane[kLanes];
  __builtin_memcpy(lane, a.part, sizeof(lane));
  for (int step = kLanes / 2; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) lane[i] += lane[i + step];
  return lane[0];
}

}  // namespace outsize::OUTSIZE_ISA
