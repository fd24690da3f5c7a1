// Elementary functions on sixteen lanes; part of core/simd.h, which includes it. Polynomials are
// weighted minimax fits made for this file; tests/ops/simd_test.cc holds them to the errors stated.
#pragma once

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {

// Lanes as whole numbers; they must be whole already and fit i32.
OUTSIZE_INLINE i32x16 to_int(f32x16 a) {
  i32x16 r;
#if OUTSIZE_ISA_avx512
  OUTSIZE_EACH_PART r.part[i] = _mm512_cvtps_epi32(a.part[i]);
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART r.part[i] = _mm256_cvtps_epi32(a.part[i]);
#else
  OUTSIZE_EACH_PART r.part[i] = _mm_cvtps_epi32(a.part[i]);
#endif
  return r;
}

// 2^(n/2) rounded down for `up` = 0, and the rest of 2^n for `up` = 1: each fits a normal f32.
OUTSIZE_INLINE f32x16 half_power_of_two(i32x16 n, int up) {
  f32x16 r;
#if OUTSIZE_ISA_avx512
  OUTSIZE_EACH_PART {
    const __m512i half = _mm512_srai_epi32(n.part[i], 1);
    const __m512i e = up ? _mm512_sub_epi32(n.part[i], half) : half;
    r.part[i] =
        _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(e, _mm512_set1_epi32(127)), 23));
  }
#elif OUTSIZE_ISA_avx2
  OUTSIZE_EACH_PART {
    const __m256i half = _mm256_srai_epi32(n.part[i], 1);
    const __m256i e = up ? _mm256_sub_epi32(n.part[i], half) : half;
    r.part[i] =
        _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(e, _mm256_set1_epi32(127)), 23));
  }
#else
  OUTSIZE_EACH_PART {
    const __m128i half = _mm_srai_epi32(n.part[i], 1);
    const __m128i e = up ? _mm_sub_epi32(n.part[i], half) : half;
    r.part[i] = _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(e, _mm_set1_epi32(127)), 23));
  }
#endif
  return r;
}

// a·2^n for whole n in [-252, 254], overflowing to infinity and underflowing gradually.
OUTSIZE_INLINE f32x16 scale_by_power_of_two(f32x16 a, f32x16 n) {
#if OUTSIZE_ISA_avx512
  OUTSIZE_EACH_PART a.part[i] = _mm512_scalef_ps(a.part[i], n.part[i]);
  return a;
#else
  const i32x16 whole = to_int(n);
  return a * half_power_of_two(whole, 0) * half_power_of_two(whole, 1);
#endif
}

// e^x within 1.5 ulp: 0 at -∞ and below -104, ∞ above 88.73, NaN for NaN.
OUTSIZE_INLINE f32x16 exp(f32x16 x) {
  x = min(splat(89.0f), max(splat(-104.0f), x));  // this order of operands lets NaN through
  // Adding 1.5·2^23 leaves the nearest whole number in the low bits.
  const f32x16 magic = splat(12582912.0f);
  const f32x16 n = fma(x, splat(1.44269504f), magic) - magic;
  // x - n·ln 2, with ln 2 in two pieces of which the first has few enough bits to be exact.
  f32x16 r = fma(n, splat(-0.693359375f), x);
  r = fma(n, splat(2.12194440e-4f), r);
  f32x16 p = splat(1.3814613e-3f);
  p = fma(p, r, splat(8.3687099e-3f));
  p = fma(p, r, splat(4.16683874e-2f));
  p = fma(p, r, splat(1.666652069e-1f));
  p = fma(p, r, splat(4.999999345e-1f));
  p = fma(p, r * r, r) + 1.0f;
  return scale_by_power_of_two(p, n);
}

// 2^x for x up to 127, relative error below 2e-7; exactly 1 at 0, exactly 0 far below -150; NaN
// stays.
OUTSIZE_INLINE f32x16 exp2(f32x16 x) {
  // 2^n times a polynomial in what is left of x.
#if OUTSIZE_ISA_avx512
  // Above the whole number below x, which scaling takes of x itself.
  constexpr float kTerms[] = {1.86713063e-3f, 9.01702885e-3f, 5.57999127e-2f,
                              2.40164444e-1f, 6.93151295e-1f, 1.0f};
  const f32x16 n = x;
  f32x16 r;
  OUTSIZE_EACH_PART r.part[i] =
      _mm512_reduce_ps(x.part[i], _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
  constexpr float kTerms[] = {1.32647273e-3f, 9.67151299e-3f, 5.55073358e-2f,
                              2.40222424e-1f, 6.93147004e-1f, 1.0f};
  x = max(splat(-160.0f), x);  // this order of operands lets NaN through
  const f32x16 magic = splat(12582912.0f);
  const f32x16 n = (x + magic) - magic;
  const f32x16 r = x - n;
#endif
  f32x16 p = splat(kTerms[0]);
#pragma GCC unroll 5
  for (int term = 1; term < 6; ++term) p = fma(p, r, splat(kTerms[term]));
  return scale_by_power_of_two(p, n);
}

// 1/(1 + e^-x).
OUTSIZE_INLINE f32x16 sigmoid(f32x16 x) {
  return 1.0f / (exp(-x) + 1.0f);
}

// Within 3 ulp.
OUTSIZE_INLINE f32x16 tanh(f32x16 x) {
  const f32x16 z = abs(x);
  const f32x16 far = 1.0f - 2.0f / (exp(z + z) + 1.0f);
  const f32x16 square = x * x;
  f32x16 p = splat(-5.7049851e-3f);
  p = fma(p, square, splat(2.06390856e-2f));
  p = fma(p, square, splat(-5.37397146e-2f));
  p = fma(p, square, splat(1.333144219e-1f));
  p = fma(p, square, splat(-3.333328194e-1f));
  const f32x16 near = fma(p * square, x, x);
  const f32x16 signed_far = select(less(x, zero()), -far, far);
  return select(less(z, splat(0.625f)), near, signed_far);
}

// The standard normal distribution function Φ(x) = (1 + erf(x/√2))/2, absolute error below 2e-7.
OUTSIZE_INLINE f32x16 normal_cdf(f32x16 x) {
  const f32x16 z = abs(x);
  // erfc(u)·e^(u²) as a polynomial in 1/(1 + u/2), with u = z/√2.
  const f32x16 t = 1.0f / fma(z, splat(0.353553391f), splat(1.0f));
  f32x16 p = splat(-5.90534451e-2f);
  p = fma(p, t, splat(2.844990935e-1f));
  p = fma(p, t, splat(-4.870423925e-1f));
  p = fma(p, t, splat(2.778864273e-1f));
  p = fma(p, t, splat(-2.65007341e-2f));
  p = fma(p, t, splat(2.026338003e-1f));
  p = fma(p, t, splat(2.431172363e-1f));
  p = fma(p, t, splat(2.823734468e-1f));
  p = fma(p, t, splat(2.820865247e-1f));
  const f32x16 tail = 0.5f * p * t * exp(-0.5f * z * z);
  return select(less(x, zero()), tail, 1.0f - tail);
}

}  // namespace outsize::OUTSIZE_ISA
