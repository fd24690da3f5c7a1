// Column sums for the bias gradient: 16 columns in registers, rows in order.
#include "ops/linear/linear_simd.h"

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {
namespace {

template <class T>
void sum_rows(const T* dy, int64_t rows, int64_t columns, int64_t begin, int64_t end,
              bool accumulate, float* db) {
  for (int64_t c = begin; c < end; c += kLanes) {
    const int count = static_cast<int>(end - c < kLanes ? end - c : kLanes);
    f32x16 total = accumulate ? load_n(db + c, count) : zero();
    if (count == kLanes) {
      for (int64_t r = 0; r < rows; ++r) total += load(dy + r * columns + c);
    } else {
      for (int64_t r = 0; r < rows; ++r) total += load_n(dy + r * columns + c, count);
    }
    store_n(db + c, total, count);
  }
}

}  // namespace

extern const LinearKernels linear_kernels = {sum_rows<float>, sum_rows<uint16_t>};

}  // namespace outsize::OUTSIZE_ISA
