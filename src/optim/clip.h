// Clipping by global norm: one factor for all gradients of an update, from the norm of all of them.
#pragma once

#include <cstdint>

#include "core/status.h"

namespace outsize {

// Σ x², in f64, on all threads; 0 for n = 0. The bits depend on the values and n alone: not on
// threads, nor on the instruction set. The norm over many gradients is the root of the sum of
// these, added in an order the caller fixes.
double sum_of_squares(const float* x, std::int64_t n);

// *scale = min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ has it: it never
// enlarges, and at norm = max_norm it scales by a hair less than 1. norm 0 gives 1 for max_norm >=
// 1e-6; max_norm 0 gives 0; max_norm infinite gives 1. A norm that is infinite, NaN or negative is
// a bad Status, *scale untouched: no factor can mend such gradients, and updating with them would
// ruin the weights. So is max_norm NaN or negative.
Status clip_scale(double norm, double max_norm, double* scale);

}  // namespace outsize
