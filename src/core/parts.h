// How work that only comes in parts of fixed sizes is cut up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace outsize {

// Index of the part to take first of `left` (> 0): the largest that is filled, or the next larger
// one, not filled, where that costs less in the end; the smallest where none is filled. Sizes: of
// the parts, in descending order, not empty. A part costs its size and `each`, filled or not.
size_t next_part(std::span<const std::int64_t> sizes, std::int64_t each, std::int64_t left);

}  // namespace outsize
