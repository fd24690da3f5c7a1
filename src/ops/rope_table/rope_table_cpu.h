// CPU kernel of rope_table: the C library's sine and cosine on all threads.
#pragma once

#include <vector>

#include "graph/op.h"

namespace outsize {

std::vector<KernelCandidate> rope_table_kernels();

}  // namespace outsize
