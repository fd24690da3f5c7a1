#include "ops/row_blocks.h"

#include <algorithm>

#include "core/isa.h"
#include "core/parallel.h"
#include "ops/row_blocks_simd.h"

namespace outsize {
namespace {

// More would use more threads, and more workspace that goes from one core's cache to another's.
constexpr std::int64_t kMostBlocks = 16;
constexpr std::int64_t kLeastRows = 8;
constexpr std::int64_t kColumnsPerTask = 256;

}  // namespace

RowBlocks::RowBlocks(std::int64_t rows)
    : rows_each(std::max((rows + kMostBlocks - 1) / kMostBlocks, kLeastRows)),
      count((rows + rows_each - 1) / rows_each) {}

float* RowBlocks::part(void* workspace, std::int64_t begin, std::int64_t width) const {
  return static_cast<float*>(workspace) + begin / rows_each * width;
}

std::int64_t RowBlocks::workspace_bytes(std::int64_t width) const {
  return count * width * static_cast<std::int64_t>(sizeof(float));
}

void RowBlocks::add_up(const void* workspace, std::int64_t width, std::int64_t first,
                       std::int64_t n, bool accumulate, float* sums) const {
  const auto add = select_isa(isa_baseline::row_block_kernels, isa_avx2::row_block_kernels,
                              isa_avx512::row_block_kernels)
                       .add_up;
  const float* parts = static_cast<const float*>(workspace) + first;
  parallel_for(n, kColumnsPerTask, [&](std::int64_t begin, std::int64_t end) {
    add(parts, count, width, begin, end, accumulate, sums);
  });
}

}  // namespace outsize
