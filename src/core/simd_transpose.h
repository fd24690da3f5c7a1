// Sixteen vectors turned over. Only for sources that are compiled once per instruction set.
#pragma once

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {

// x[i] lane j and x[j] lane i change places.
#if OUTSIZE_ISA_avx512
OUTSIZE_INLINE void transpose(f32x16 (&x)[16]) {
  __m512 a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(x[i].part[0], x[i + 1].part[0]);
    a[i + 1] = _mm512_unpackhi_ps(x[i].part[0], x[i + 1].part[0]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const __m512d low = _mm512_castps_pd(a[i + j]), high = _mm512_castps_pd(a[i + j + 2]);
      b[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      b[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512 low0 = _mm512_shuffle_f32x4(b[j], b[4 + j], 0x88);
    const __m512 low1 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0x88);
    const __m512 high0 = _mm512_shuffle_f32x4(b[j], b[4 + j], 0xdd);
    const __m512 high1 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0xdd);
    x[j].part[0] = _mm512_shuffle_f32x4(low0, low1, 0x88);
    x[8 + j].part[0] = _mm512_shuffle_f32x4(low0, low1, 0xdd);
    x[4 + j].part[0] = _mm512_shuffle_f32x4(high0, high1, 0x88);
    x[12 + j].part[0] = _mm512_shuffle_f32x4(high0, high1, 0xdd);
  }
}
#else
OUTSIZE_INLINE void transpose(f32x16 (&x)[16]) {
  float from[16][16], to[16][16];
  for (int i = 0; i < 16; ++i) store(from[i], x[i]);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) to[i][j] = from[j][i];
  for (int i = 0; i < 16; ++i) x[i] = load(to[i]);
}
#endif

}  // namespace outsize::OUTSIZE_ISA
