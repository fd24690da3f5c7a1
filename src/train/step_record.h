// What a durable step carries besides the state: where the data stands, and the step's line of
// metrics, which a kill could keep from being written.
#pragma once

#include <optional>
#include <string>

#include "report/metrics.h"
#include "weights/checkpoint.h"

namespace outsize {

struct StepRecord {
  CheckpointInfo info;
  std::optional<StepMetrics> metrics;  // absent at step 0
};

std::string to_text(const StepRecord& record);
// Throws Corruption naming `where`.
StepRecord parse_step_record(const std::string& text, const std::string& where);

}  // namespace outsize
