// CPU kernels of lm_loss: products over chunks of gathered rows, vector softmax between
// them.
#pragma once

#include <vector>

#include "graph/op.h"

namespace outsize {

std::vector<KernelCandidate> lm_loss_kernels();
std::vector<KernelCandidate> lm_loss_grad_kernels();

}  // namespace outsize
