// How the configuration of a run becomes a plan, and whether the disks have room for it.
#pragma once

#include <cstdint>
#include <optional>

#include "config/run_config.h"
#include "models/model.h"
#include "train/disk_use.h"
#include "train/engine.h"
#include "train/foretell.h"
#include "train/run_setup.h"
#include "train/show_plan.h"

namespace outsize {

PlanContext plan_context(const RunConfig& config, std::int64_t steps);

// All but the memory budget. Throws InvalidArgument where budget.store asks for another layout than
// the run's store has, Io.
PlanningOptions planning_options(const RunConfig& config, const MachineChoice& choice);

// Sets the budget and plans. Throws OutOfMemory where no plan fits memory or disk, with what would.
void plan_engine(const Model& model, const RunConfig& config, PlanningOptions& planning,
                 std::optional<TrainingEngine>& engine);

// Room and bytes written. Throws OutOfMemory and InvalidArgument where they are not within what the
// user has and allows.
DiskUse checked_disk_use(const RunConfig& config, const Model& model, const TrainingEngine& engine,
                         const PlanningOptions& planned, std::int64_t steps,
                         const std::optional<Forecast>& forecast);

}  // namespace outsize
