// How fast matrices multiply here: the compute floor that every speed is divided by.
#pragma once

#include <optional>
#include <string>

#include "core/dtype.h"
#include "machine/machine.h"

namespace outsize {

// GFLOP/s of oneDNN's matmul on all threads: inputs of dtype (f32, bf16, or u8 for u8 · i8),
// results f32 (i32 for u8), weights in the library's own layout. Warms up once, then repeats for
// about `seconds`, at least three times. Absent where library and processor cannot do the dtype.
// Throws InvalidArgument for another dtype or sides below 1, OutOfMemory when the matrices do not
// fit.
std::optional<Rate> measure_gemm(DType dtype, const GemmShape& shape, double seconds);

// Median of one shape near the top speed, for figures that need the rate of this very minute. 0
// where the dtype cannot be done.
double measure_gemm_gflops(DType dtype, double seconds = 0.3);

// "2.6.3"
std::string onednn_version();

}  // namespace outsize
