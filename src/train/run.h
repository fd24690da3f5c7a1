// A training run from configuration to finished model: data checked, plan shown, steps taken,
// progress and metrics written, checkpoints kept, resumed where it was left.
#pragma once

#include <cstdint>
#include <string>

#include "config/run_config.h"

namespace outsize {

struct RunOutcome {
  std::int64_t steps = 0;    // updates made in total
  bool interrupted = false;  // by SIGINT or SIGTERM, after a checkpoint
  int signal = 0;
};

// Runs until the last step or a signal. Progress goes to standard error. Throws typed errors; what
// was durable stays whole.
// `trace_path`, unless empty: the last step's tasks, foretold and measured, go there as a trace.
RunOutcome run_training(const RunConfig& config, const std::string& trace_path = "");

}  // namespace outsize
