// One seeded run of the toy on a disk that fails, started again after every accident, and the
// verdict: did it end as the undisturbed run, or stop and say what is damaged?
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "storage/twin/sim_disk.h"
#include "storage/twin/toy_run.h"

namespace outsize {

enum class Verdict {
  identical,  // same bits as the undisturbed run
  stopped,    // named damage, and there was damage
  wrong,      // silent damage, a lost step, damage where there was none: a bug
};

struct ScheduleResult {
  Verdict verdict = Verdict::wrong;
  std::string message;  // of the error or of the bug
  int crashes = 0;
  int starts = 0;
};

struct ScheduleOptions {
  StoreScheme scheme = StoreScheme::two_slots;
  std::uint64_t seed = 0;
  // Called at every kill point, before the schedule's own crash: a place to plant a bug.
  std::function<void(SimDisk&, KillPoint)> plant;
};

// Deterministic in its options.
ScheduleResult run_schedule(const ScheduleOptions& options);

}  // namespace outsize
