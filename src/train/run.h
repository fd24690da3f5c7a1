// A training run from configuration to finished model: data checked, plan shown, steps taken,
// progress and metrics written, checkpoints kept, resumed where it was left.
#pragma once

#include <cstdint>
#include <functional>
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

// What `outsize plan` shows, without reading weights: text, or JSON. `trace_path`, unless empty:
// the simulated step goes there as a trace; InvalidArgument when there is no machine file.
std::string show_plan(const RunConfig& config, bool json, const std::string& trace_path = "");

// What `outsize plan --curve memory` shows: step time over memory budgets, as text or JSON.
// `svg_path`, unless empty: a picture goes there. `report` is told what is planned next.
// InvalidArgument when there is no machine file.
std::string show_memory_curve(const RunConfig& config, bool json, const std::string& svg_path,
                              const std::function<void(const std::string&)>& report);

}  // namespace outsize
