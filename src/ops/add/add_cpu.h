// CPU kernels of add.
#pragma once

#include <vector>

#include "graph/op.h"

namespace outsize {

std::vector<KernelCandidate> add_kernels();

}  // namespace outsize
