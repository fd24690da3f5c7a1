// Times the ops of one run at their own sizes, in steps of the run's model with as few layers as
// show every op: what a machine file may know besides rates (Machine::calls).
#pragma once

#include <vector>

#include "config/run_config.h"
#include "machine/machine.h"
#include "train/op_costs.h"

namespace outsize {

// Adds the run's calls to the machine, in place of those of the same text. Returns them beside what
// was foretold before. Takes seconds to a minute, and RAM for the embedding, a few layers and a
// microbatch; no weights are read and nothing is written.
// Throws as open_model, InvalidArgument when the machine was measured with other threads or another
// instruction set, OutOfMemory when a few layers do not fit.
std::vector<OpCostRow> measure_run(const RunConfig& config, Machine& machine);

}  // namespace outsize
