// Matrices of 16-bit elements turned over, on all threads.
#pragma once

#include <cstdint>

namespace outsize {

// to[c][r] = from[r][c]. Both dense, row-major: `from` is [rows, columns], `to` [columns, rows];
// they must not overlap. The threads share the rows of `to`, as products share those of their left
// operand.
void transpose_16_bit(const void* from, std::int64_t rows, std::int64_t columns, void* to);

}  // namespace outsize
