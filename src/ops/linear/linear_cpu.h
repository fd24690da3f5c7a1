// CPU kernels of linear and its gradients: products, and a row sum for the bias.
#pragma once

#include <vector>

#include "graph/op.h"

namespace outsize {

std::vector<KernelCandidate> linear_kernels();
std::vector<KernelCandidate> linear_grad_input_kernels();
std::vector<KernelCandidate> linear_grad_weight_kernels();
std::vector<KernelCandidate> linear_grad_bias_kernels();

}  // namespace outsize
