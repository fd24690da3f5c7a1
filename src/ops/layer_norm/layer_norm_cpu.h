// CPU kernels of layer_norm and its gradient.
#pragma once

#include <vector>

#include "graph/op.h"

namespace outsize {

std::vector<KernelCandidate> layer_norm_kernels();
std::vector<KernelCandidate> layer_norm_grad_kernels();

}  // namespace outsize
