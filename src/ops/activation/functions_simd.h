// The activation functions and their derivatives on sixteen lanes, for activation and
// gated_activation. Formulas and constants as in functions.h; included by *_simd.cc sources only.
#pragma once

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {

struct ValueAndSlope {
  f32x16 value, slope;
};

// sigmoid(v) and 1 - sigmoid(v), both to full relative precision: a difference would lose the
// digits of the smaller one.
struct SigmoidPair {
  f32x16 s, rest;
};
OUTSIZE_INLINE SigmoidPair sigmoid_pair(f32x16 v) {
  const f32x16 z = exp(-abs(v));
  const f32x16 large = 1.0f / (z + 1.0f), small = z * large;
  const mask16 negative = less(v, zero());
  return {select(negative, small, large), select(negative, large, small)};
}

struct Silu {
  OUTSIZE_INLINE ValueAndSlope both(f32x16 x) {
    const SigmoidPair pair = sigmoid_pair(x);
    const f32x16 value = x * pair.s;
    return {value, fma(value, pair.rest, pair.s)};
  }
  OUTSIZE_INLINE f32x16 value(f32x16 x) { return x * sigmoid(x); }
};

struct GeluTanh {
  static constexpr float kSlope = 1.59576912f;    // 2·√(2/π)
  static constexpr float kCubic = 0.0713548163f;  // 0.044715 · kSlope
  static constexpr float kCubicSlope = 3.0f * kCubic;

  OUTSIZE_INLINE f32x16 inner(f32x16 x, f32x16 square) {
    return x * fma(square, splat(kCubic), splat(kSlope));
  }
  OUTSIZE_INLINE ValueAndSlope both(f32x16 x) {
    const f32x16 square = x * x;
    const SigmoidPair pair = sigmoid_pair(inner(x, square));
    const f32x16 value = x * pair.s;
    const f32x16 inner_slope = fma(square, splat(kCubicSlope), splat(kSlope));
    return {value, fma(value * inner_slope, pair.rest, pair.s)};
  }
  OUTSIZE_INLINE f32x16 value(f32x16 x) { return x * sigmoid(inner(x, x * x)); }
};

struct Relu {
  OUTSIZE_INLINE ValueAndSlope both(f32x16 x) {
    return {value(x), select(less(zero(), x), splat(1.0f), zero())};
  }
  OUTSIZE_INLINE f32x16 value(f32x16 x) { return max(zero(), x); }  // this order keeps NaN
};

struct GeluErf {
  OUTSIZE_INLINE ValueAndSlope both(f32x16 x) {
    const f32x16 p = normal_cdf(x);
    const f32x16 density = 0.398942280f * exp(-0.5f * x * x);
    return {x * p, fma(x, density, p)};
  }
  OUTSIZE_INLINE f32x16 value(f32x16 x) { return x * normal_cdf(x); }
};

struct Tanh {
  OUTSIZE_INLINE ValueAndSlope both(f32x16 x) {
    const f32x16 t = tanh(x);
    return {t, 1.0f - t * t};
  }
  OUTSIZE_INLINE f32x16 value(f32x16 x) { return tanh(x); }
};

}  // namespace outsize::OUTSIZE_ISA
