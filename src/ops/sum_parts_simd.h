// The second half of sums over rows: every block of rows has summed its own, blocks follow in
// order.
#pragma once

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {

// sums[i] (+)= parts[i] + parts[stride + i] + … of `count` parts, for i in [begin, end).
OUTSIZE_INLINE void add_parts(const float* parts, int64_t count, int64_t stride, int64_t begin,
                              int64_t end, bool accumulate, float* sums) {
  each_vector(begin, end, [=](int64_t i, auto lanes) {
    f32x16 total = accumulate ? load(sums + i, lanes) : zero();
    for (int64_t part = 0; part < count; ++part) total += load(parts + part * stride + i, lanes);
    store(sums + i, total, lanes);
  });
}

}  // namespace outsize::OUTSIZE_ISA
