// CPU kernels of gated_activation and its gradient.
#pragma once

#include <vector>

#include "graph/op.h"

namespace outsize {

std::vector<KernelCandidate> gated_activation_kernels();
std::vector<KernelCandidate> gated_activation_grad_kernels();

}  // namespace outsize
