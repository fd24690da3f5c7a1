// Where the time of the last step went, by kind of task and segment, against the compute floor.
#pragma once

#include <string>

#include "exec/executor.h"

namespace outsize {

// A table: seconds, share, FLOPs over the GEMM rate (GFLOP/s) for each kind of task and segment.
std::string describe_step(const Executor& executor, double gemm_gflops);

}  // namespace outsize
