// The activation functions and their derivatives in float64, shared by the references of activation
// and gated_activation. Vector versions: functions_simd.h.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace outsize {

enum class ActivationKind : std::int64_t { silu, gelu_tanh, relu, gelu_erf, tanh };
constexpr std::int64_t kActivationKinds = 5;

// gelu_tanh(x) = x·sigmoid(2u) with u = √(2/π)·(x + 0.044715·x³): the same as x·(1 + tanh u)/2
// (Hendrycks & Gimpel 2016), without its cancellation for negative x.
constexpr double kGeluSlope = 2 * 0.79788456080286535588;
constexpr double kGeluCubic = 0.044715;

inline double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

inline double activate(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::silu:
      return x * sigmoid(x);
    case ActivationKind::gelu_tanh:
      return x * sigmoid(kGeluSlope * (x + kGeluCubic * x * x * x));
    case ActivationKind::relu:
      return x > 0 ? x : 0.0;
    case ActivationKind::gelu_erf:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case ActivationKind::tanh:
      return std::tanh(x);
  }
  return 0.0;
}

// d activate / dx; 0 for relu at 0.
inline double activate_slope(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::silu: {
      const double s = sigmoid(x);
      return s + x * s * (1.0 - s);
    }
    case ActivationKind::gelu_tanh: {
      const double s = sigmoid(kGeluSlope * (x + kGeluCubic * x * x * x));
      return s + x * s * (1.0 - s) * kGeluSlope * (1.0 + 3.0 * kGeluCubic * x * x);
    }
    case ActivationKind::relu:
      return x > 0 ? 1.0 : 0.0;
    case ActivationKind::gelu_erf:
      return 0.5 * std::erfc(-x / std::numbers::sqrt2) +
             x * std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi);
    case ActivationKind::tanh: {
      const double t = std::tanh(x);
      return 1.0 - t * t;
    }
  }
  return 0.0;
}

}  // namespace outsize
