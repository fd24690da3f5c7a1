// CPU kernels of activation and its gradient.
#pragma once

#include <vector>

#include "graph/op.h"

namespace outsize {

std::vector<KernelCandidate> activation_kernels();
std::vector<KernelCandidate> activation_grad_kernels();

}  // namespace outsize
