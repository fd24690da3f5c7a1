// The CPU kernels of attention and attention_grad, and what cached_attention borrows of them.
#pragma once

#include <vector>

#include "graph/op.h"
#include "ops/attention/attention_simd.h"
#include "ops/attention/attention_tasks.h"

namespace outsize {

std::vector<KernelCandidate> attention_kernels();
std::vector<KernelCandidate> attention_grad_kernels();

// The vector kernels of the forward for f32 or bf16.
IsaTables<AttentionForwardKernels> attention_forward_tables(DType dtype);

}  // namespace outsize
