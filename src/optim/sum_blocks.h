// Sums over all threads with the same bits for any number of them: the blocks, and the order in
// which their results are added, follow from the count alone. No allocation.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/parallel.h"

namespace outsize {

// Adds body(begin, end) (a double) over blocks of [0, n): of grain elements, or larger ones where
// there would be more than 1,024.
template <class Body>
double sum_blocks(std::int64_t n, std::int64_t grain, Body body) {
  constexpr std::int64_t kMaxBlocks = 1024;
  if (n <= 0) return 0;
  // Multiples of the grain, so that blocks begin on whole vectors wherever grains do.
  const std::int64_t grains = (n - 1) / grain + 1;
  const std::int64_t block = ((grains - 1) / kMaxBlocks + 1) * grain;
  std::array<double, kMaxBlocks> partial;
  parallel_for(n, block, [&](std::int64_t begin, std::int64_t end) {
    partial[static_cast<size_t>(begin / block)] = body(begin, end);
  });
  double sum = 0;
  const std::int64_t blocks = (n - 1) / block + 1;
  for (std::int64_t i = 0; i < blocks; ++i) sum += partial[static_cast<size_t>(i)];
  return sum;
}

}  // namespace outsize
