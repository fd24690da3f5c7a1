// Turns a configuration into what the parts below take: data options, optimizer, shapes, budget.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/run_config.h"
#include "data/options.h"
#include "optim/schedule.h"
#include "optim/update_rule.h"
#include "train/engine.h"

namespace outsize {

DataOptions data_options(const DataConfig& data, const std::vector<std::string>& files,
                         std::int64_t seed);
OptimizerOptions optimizer_options(const OptimizerConfig& optimizer);
ScheduleOptions schedule_options(const ScheduleConfig& schedule);

// Rows of a microbatch: the user's, or the default that follows from shapes alone.
std::int64_t microbatch_rows(const RunConfig& config);
TrainingShape training_shape(const RunConfig& config);

// Bytes the arena may take: `memory` (absent: what is free now) less what the process itself takes.
// Throws OutOfMemory when that leaves nothing.
std::int64_t arena_budget(std::optional<std::int64_t> memory);

// Bytes that may still be allocated in the folder, or where it will be made. Throws Io.
std::int64_t free_disk_bytes(const std::string& folder);

// Makes the configuration one for the computer that a machine file describes: with its rates, and
// all its usable RAM where no budget is named. Throws as read_machine.
void plan_for(const std::string& machine_path, RunConfig& config);

}  // namespace outsize
