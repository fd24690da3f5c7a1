// bf16 weights whose f32 masters are not stored beside them but completed by 16 more bits:
//   bits(master) = (bits(weight) << 16) + low      (32-bit integers, low signed, modulo 2^32)
// with weight = master rounded to nearest, halves away from zero. Forward and backward read only
// the weight, the update reads both: 4 bytes per parameter instead of the 6 of a bf16 copy.
#pragma once

#include <cstdint>

#include "core/half.h"

namespace outsize {

// Splits n masters, on all threads. load_master gives back every number and infinity bit for bit; a
// NaN comes back as the quiet NaN of its sign. A master above 3.3961775e38, bf16's largest number
// plus half a step, has an infinite weight (its master stays finite), as in any rounding to bf16.
void store_master(const float* master, std::int64_t n, bf16* weight, std::int16_t* low);

// Joins n masters, on all threads.
void load_master(const bf16* weight, const std::int16_t* low, std::int64_t n, float* master);

}  // namespace outsize
