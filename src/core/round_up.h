// Sizes filled up to whole steps.
#pragma once

#include <cstdint>

namespace outsize {

// The least multiple of `step` (> 0) that is at least x (>= 0).
constexpr std::int64_t round_up(std::int64_t x, std::int64_t step) {
  return (x + step - 1) / step * step;
}

}  // namespace outsize
