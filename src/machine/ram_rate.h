// How fast RAM moves on all threads.
#pragma once

#include <cstdint>

#include "machine/machine.h"

namespace outsize {

struct RamRates {
  Rate read_gb_per_second;
  Rate copy_gb_per_second;
  Rate triad_gb_per_second;
};

// Bytes per array that no cache holds and that RAM has room for three times.
std::int64_t ram_array_bytes(std::int64_t available_bytes);

// Three arrays of `array_bytes`; each kind repeats for about `seconds`, at least three times.
// Throws OutOfMemory when the arrays cannot be had.
RamRates measure_ram(std::int64_t array_bytes, double seconds);
// With ram_array_bytes() of what this process may still take.
RamRates measure_ram(double seconds);

}  // namespace outsize
