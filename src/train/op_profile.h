// Where the time of the last step went, by kind of task and segment, against the compute floor.
#pragma once

#include <map>
#include <string>

#include "exec/executor.h"

namespace outsize {

// Seconds of the last step by op name.
std::map<std::string, double> seconds_by_op(const Executor& executor);

// A table: seconds, share, FLOPs over the GEMM rate (GFLOP/s) for each kind of task and segment.
std::string describe_step(const Executor& executor, double gemm_gflops);

}  // namespace outsize
