// Sums over rows that are the same for any number of threads: every block of rows sums its own,
// then the blocks are added in order.
#pragma once

#include <cstdint>

namespace outsize {

struct RowBlocks {
  explicit RowBlocks(std::int64_t rows);

  // Where the block that begins at row `begin` sums its part [width].
  float* part(void* workspace, std::int64_t begin, std::int64_t width) const;
  // Bytes of all parts [count, width].
  std::int64_t workspace_bytes(std::int64_t width) const;
  // sums[i] (+)= part 0's [first + i] + part 1's + … for i in [0, n), on all threads; parts are
  // [count, width].
  void add_up(const void* workspace, std::int64_t width, std::int64_t first, std::int64_t n,
              bool accumulate, float* sums) const;

  std::int64_t rows_each, count;
};

}  // namespace outsize
