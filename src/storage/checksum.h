// The one checksum of the store.
#pragma once

#include <cstddef>
#include <cstdint>

namespace outsize {

// XXH3-64 with seed 0: faster than memory, and 64 bits leave chance nothing to do.
std::uint64_t checksum(const void* data, std::size_t bytes);

}  // namespace outsize
