// CPU kernel of rope.
#pragma once

#include <vector>

#include "graph/op.h"

namespace outsize {

std::vector<KernelCandidate> rope_kernels();

}  // namespace outsize
