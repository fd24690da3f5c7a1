// What `outsize plan` prints of a run.
#pragma once

#include <functional>
#include <string>

#include "config/run_config.h"

namespace outsize {

// What `outsize plan` shows, without reading weights: text, or JSON. `trace_path`, unless empty:
// the simulated step goes there as a trace; InvalidArgument when there is no machine file.
std::string show_plan(const RunConfig& config, bool json, const std::string& trace_path = "");

// What `outsize plan --curve memory` shows: step time over memory budgets, as text or JSON.
// `svg_path`, unless empty: a picture goes there. `report` is told what is planned next.
// InvalidArgument when there is no machine file.
std::string show_memory_curve(const RunConfig& config, bool json, const std::string& svg_path,
                              const std::function<void(const std::string&)>& report);

}  // namespace outsize
