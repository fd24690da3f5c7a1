// One cache line past the caches, for operands made ready for products.
#pragma once

#include <emmintrin.h>

namespace outsize {

// Copies a cache line past the caches (core/streaming.h); both are aligned to 16 bytes. It is there
// for other threads after a fence, as at the end of parallel_for.
inline void stream_line(const void* from, void* to) {
  const auto* parts = static_cast<const __m128i*>(from);
  for (int i = 0; i < 4; ++i)
    _mm_stream_si128(static_cast<__m128i*>(to) + i, _mm_load_si128(parts + i));
}

}  // namespace outsize
