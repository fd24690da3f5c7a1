// One cache line of operands made ready for products.
#pragma once

#include <emmintrin.h>

namespace outsize {

inline void write_part(__m128i part, void* to, bool streams) {
  auto* at = static_cast<__m128i*>(to);
  streams ? _mm_stream_si128(at, part) : _mm_store_si128(at, part);
}

// Copies a cache line, past the caches where it `streams` (core/streaming.h); both are aligned to
// 16 bytes. It is there for other threads after a fence, as at the end of parallel_for.
inline void write_line(const void* from, void* to, bool streams) {
  const auto* parts = static_cast<const __m128i*>(from);
  for (int i = 0; i < 4; ++i)
    write_part(_mm_load_si128(parts + i), static_cast<__m128i*>(to) + i, streams);
}

}  // namespace outsize
