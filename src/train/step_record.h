// What a durable step carries besides the state: where the data stands, and what the bits hang on.
#pragma once

#include <optional>
#include <string>

#include "report/metrics.h"
#include "weights/checkpoint.h"

namespace outsize {

struct StepRecord {
  CheckpointInfo info;
  // Of a step that may have to be finished after a crash: its line may not have been written.
  std::optional<StepMetrics> metrics;
};

std::string to_text(const StepRecord& record);
// Throws Corruption naming `where`.
StepRecord parse_step_record(const std::string& text, const std::string& where);

}  // namespace outsize
