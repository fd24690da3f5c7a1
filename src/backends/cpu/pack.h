// Right operands of matrix products in the layout that oneDNN's kernels read, on all threads.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace outsize {

// Panels of 64 columns, one after the other; within a panel the rows k, each as 64 words of 32
// bits. A word is one f32, or bf16 of two rows, the first in the low half. Rows are filled up with
// zeros to a multiple of 16 words, columns to one of 64. oneDNN calls it BA16a64b and BA16a64b2a.
std::int64_t packed_bytes(std::int64_t k, std::int64_t n, DType dtype);

// Packs `from`, [k,n], or [n,k] where `transposed`; dense, row-major, f32 or bf16. `to` is aligned
// to 64 bytes and must not overlap `from`.
void pack(const void* from, std::int64_t k, std::int64_t n, DType dtype, bool transposed, void* to);

}  // namespace outsize
