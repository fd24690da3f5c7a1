// Sixteen columns in registers, parts in order.
#include "ops/row_blocks_simd.h"

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {
namespace {

void add_up(const float* parts, int64_t count, int64_t width, int64_t begin, int64_t end,
            bool accumulate, float* sums) {
  each_vector(begin, end, [=](int64_t i, auto lanes) {
    f32x16 total = accumulate ? load(sums + i, lanes) : zero();
    for (int64_t part = 0; part < count; ++part) total += load(parts + part * width + i, lanes);
    store(sums + i, total, lanes);
  });
}

}  // namespace

extern const RowBlockKernels row_block_kernels = {add_up};

}  // namespace outsize::OUTSIZE_ISA
