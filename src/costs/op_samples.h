// Calls that stand for every op at a size: what measure_costs times.
#pragma once

#include <cstdint>
#include <vector>

#include "costs/call_timer.h"

namespace outsize {

// About `elements` elements in each large operand. Ops that work by rows come at several row
// lengths.
std::vector<OpSample> op_samples(DType dtype, std::int64_t elements);

}  // namespace outsize
