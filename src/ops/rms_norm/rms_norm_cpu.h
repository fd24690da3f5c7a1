// CPU kernels of rms_norm and its gradient.
#pragma once

#include <vector>

#include "graph/op.h"

namespace outsize {

std::vector<KernelCandidate> rms_norm_kernels();
std::vector<KernelCandidate> rms_norm_grad_kernels();

}  // namespace outsize
