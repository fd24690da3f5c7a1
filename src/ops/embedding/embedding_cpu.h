// CPU kernels of embedding and its gradient.
#pragma once

#include <vector>

#include "graph/op.h"

namespace outsize {

std::vector<KernelCandidate> embedding_kernels();
std::vector<KernelCandidate> embedding_grad_kernels();

}  // namespace outsize
