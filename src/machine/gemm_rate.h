// How fast matrices multiply here: the compute floor that every speed is divided by.
#pragma once

#include <memory>
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

// The rate of this very minute, of one shape near the top speed, as often as asked: processors that
// are shared or hot change theirs. Keeps its matrices (32 MiB in bf16, 48 in f32).
class GemmMeter {
 public:
  // Throws as measure_gemm.
  explicit GemmMeter(DType dtype);
  ~GemmMeter();
  GemmMeter(const GemmMeter&) = delete;
  GemmMeter& operator=(const GemmMeter&) = delete;
  // Median GFLOP/s over about `seconds`, at least three products. 0 where the dtype cannot be done.
  double gflops(double seconds) const;

 private:
  struct Product;
  std::unique_ptr<Product> product_;
};

// The same, once.
double measure_gemm_gflops(DType dtype, double seconds = 0.3);

// "2.6.3"
std::string onednn_version();

}  // namespace outsize
