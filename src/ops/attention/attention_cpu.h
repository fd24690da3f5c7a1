// The CPU kernels of attention and attention_grad.
#pragma once

#include <vector>

#include "graph/op.h"

namespace outsize {

std::vector<KernelCandidate> attention_kernels();
std::vector<KernelCandidate> attention_grad_kernels();

}  // namespace outsize
