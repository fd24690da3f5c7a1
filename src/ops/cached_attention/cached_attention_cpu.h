// The CPU kernels of cached_attention: few tokens by runs of keys, many by blocks as attention.
#pragma once

#include <vector>

#include "graph/op.h"

namespace outsize {

std::vector<KernelCandidate> cached_attention_kernels();

}  // namespace outsize
