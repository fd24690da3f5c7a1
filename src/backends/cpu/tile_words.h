// Lines of sixteen 32-bit words, as tile registers hold them. Only for sources compiled for amx.
#pragma once

#include "core/tile_registers.h"

namespace outsize::OUTSIZE_ISA {

// lines[i] word j and lines[j] word i change places.
OUTSIZE_INLINE void turn_words(__m512i (&lines)[kTileSide]) {
  __m512i a[kTileSide], b[kTileSide];
  // Within each quarter of a line: words, then pairs of words, of four neighbouring lines.
#pragma GCC unroll 8
  for (int i = 0; i < kTileSide; i += 2) {
    a[i] = _mm512_unpacklo_epi32(lines[i], lines[i + 1]);
    a[i + 1] = _mm512_unpackhi_epi32(lines[i], lines[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kTileSide; i += 4) {
    b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  // Quarters of lines four apart.
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0x88);
    a[i + 4] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0xdd);
    a[i + 8] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0x88);
    a[i + 12] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    lines[i] = _mm512_shuffle_i32x4(a[i], a[i + 8], 0x88);
    lines[i + 8] = _mm512_shuffle_i32x4(a[i], a[i + 8], 0xdd);
    lines[i + 4] = _mm512_shuffle_i32x4(a[i + 4], a[i + 12], 0x88);
    lines[i + 12] = _mm512_shuffle_i32x4(a[i + 4], a[i + 12], 0xdd);
  }
}

// The first n of 16 or 32 lanes; n may lie beyond either end.
OUTSIZE_INLINE __mmask16 first_16(int64_t n) {
  return n >= 16 ? 0xffff : n <= 0 ? 0 : static_cast<__mmask16>((1u << n) - 1u);
}
OUTSIZE_INLINE __mmask32 first_32(int64_t n) {
  return n >= 32 ? 0xffffffff : n <= 0 ? 0 : (1u << n) - 1u;
}

// Words of the first n (≤ 16) elements of two rows, those of `even` in the low halves.
OUTSIZE_INLINE __m512i pair_words(const uint16_t* even, __mmask16 of_even, const uint16_t* odd,
                                  __mmask16 of_odd) {
  const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(of_even, even));
  const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(of_odd, odd));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

}  // namespace outsize::OUTSIZE_ISA
