// Bounds on what a configuration may ask for: far above any model, and low enough that no product
// of sizes, layers and bytes overflows 63 bits.
#pragma once

#include <cstdint>
#include <string>

#include "core/error.h"

namespace outsize {

constexpr std::int64_t kLayersMax = 10'000;
constexpr std::int64_t kWidthMax = 1 << 20;  // model width, feed-forward width, heads · head_dim
constexpr std::int64_t kVocabularyMax = 1 << 24;  // also learned positions

// Throws InvalidArgument when heads · head_dim exceeds kWidthMax.
inline void check_heads(std::int64_t heads, std::int64_t head_dim, const std::string& file) {
  if (head_dim > kWidthMax / heads)
    fail(ErrorKind::InvalidArgument,
         "[model] {}: heads and head_dim are too large together; got {} x {}; expected at most {}",
         file, heads, head_dim, kWidthMax);
}

}  // namespace outsize
