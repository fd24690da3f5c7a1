// What a run puts on disks, known before it starts: how much room it needs on which file system,
// and how much it writes. Both come from the plan and the configuration alone; what the run's
// folder holds already counts as there.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/run_config.h"
#include "train/engine.h"

namespace outsize {

struct DiskPart {
  std::string name;        // "state", "checkpoints"
  std::string folder;      // where it goes
  std::int64_t bytes = 0;  // still to be taken
};

// The parts that share a file system.
struct DiskRoom {
  std::string folder;  // of its largest part
  std::vector<DiskPart> parts;
  std::int64_t free_bytes = 0;  // for this user, now
  std::int64_t needed_bytes() const;
};

// Bytes; doubles, since a long run's writes need not fit an integer.
struct DiskWrites {
  double start = 0;        // the first copy of a store
  double per_step = 0;     // what a plan streams and commits; metrics
  double checkpoint = 0;   // one of them; 0: the run's state is in a store
  double checkpoints = 0;  // how many
  std::int64_t steps = 0;  // 0: unknown, and then no total
  double total() const;
};

struct DiskUse {
  std::vector<DiskRoom> rooms;
  DiskWrites writes;
};

// `step_seconds`: of one step where it is foretold; checkpoints by time are counted from it.
// Throws Io when a folder cannot be examined.
DiskUse disk_use(const RunConfig& config, const TrainingEngine& engine, std::int64_t steps,
                 std::optional<double> step_seconds);

// Throws OutOfMemory naming the folder, what is needed part by part, what is free, and what helps.
void require_room(const DiskUse& use, const RunConfig& config, bool durable);

// Throws OutOfMemory when more than budget.max_writes is expected, with the cheapest changes.
// `resident_budget`: the budget.memory that keeps all state in RAM, where that would help.
void require_writes(const DiskUse& use, const RunConfig& config,
                    std::optional<std::int64_t> resident_budget);

// Lines "room …" per file system and "writes …".
std::string describe(const DiskUse& use);
nlohmann::json to_json(const DiskUse& use);

}  // namespace outsize
