// Element conversions between f32 and the floating dtypes as they lie in files. Sources and targets
// in file layout may have any alignment.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace outsize {

// `count` elements of f64, f32, bf16 or f16 at `source` to f32. Throws Unsupported for integers.
void convert_to_f32(DType dtype, const void* source, std::int64_t count, float* destination);

// The other way, rounding to nearest even (f16 overflows to infinity). Throws Unsupported for
// integers.
void convert_from_f32(DType dtype, const float* source, std::int64_t count, void* destination);

}  // namespace outsize
