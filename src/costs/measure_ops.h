// Measures what the cost model needs to know of a computer: products as training lays out their
// operands, every op's own kernels at a few sizes, and the optimizers. No shape is a model's.
#pragma once

#include <functional>
#include <string_view>

#include "costs/cost_model.h"
#include "machine/machine.h"

namespace outsize {

struct MeasureOptions {
  // Sides of the grid of products; every combination is measured.
  std::vector<std::int64_t> product_sides = {128, 640, 2560};
  // Another one for rows of tokens: few of them are another matter.
  std::int64_t few_rows = 16;
  // Elements of the values that other ops are measured on, ascending.
  std::vector<std::int64_t> elements = {1 << 18, 3 << 19, 3 << 21};
  int repeats = 3;
  std::int64_t cache_bytes = std::int64_t{96} << 20;  // more than caches hold
  // Told before each kind of measurement; may be empty.
  std::function<void(std::string_view)> report;
};

// Adds gemm_shapes in the forms of training, and `ops`. A dtype whose kernels this processor lacks
// is left out. Throws OutOfMemory when operands cannot be had.
void measure_costs(const MeasureOptions& options, Machine& machine);

}  // namespace outsize
