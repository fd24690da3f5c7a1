// Operands of what is timed: ordinary numbers, since zeros and denormals can run at another speed.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace outsize {

// `count` numbers from 0.1 to 1.1, or bytes from 10 to 109, aligned to an element. The same at
// every call. Throws Internal for other integers and f16.
void fill_ordinary(DType dtype, std::int64_t count, void* to);

}  // namespace outsize
