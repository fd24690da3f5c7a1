// One seeded training run, engine, executor and store as users have them, on a disk that fails;
// started again after every accident, each time with another plan. The verdict: did it end as the
// run that nothing disturbed, or stop and say what is damaged?
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "storage/twin/schedule.h"

namespace outsize::train_test {

struct TrainingResult {
  Verdict verdict = Verdict::wrong;
  std::string message;  // of the error or of the bug
  int starts = 0;
  int crashes = 0;         // of the process or the machine
  int errors = 0;          // EIO, ENOSPC that nobody waited for
  int pauses = 0;          // ENOSPC that somebody waited for
  int scratch_damage = 0;  // found, named, and cured by a start from the last finished step
};

struct TrainingScheduleOptions {
  std::uint64_t seed = 0;
  // Called at every kill point, before the schedule's own crash: a place to plant a bug.
  std::function<void(SimDisk&, KillPoint)> plant = {};
};

// The faults follow from the seed; which operation of which lane they hit is the threads' affair.
TrainingResult run_training_schedule(const TrainingScheduleOptions& options);

}  // namespace outsize::train_test
