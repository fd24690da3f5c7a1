// For tests of the program: it kills itself, as if by kill -9, at a named point of a run. The
// environment variable OUTSIZE_KILL_AT holds a point and which time it is reached:
// "mid_commit_record:3". Points are the store's (storage/kill_point.h) and the run's own, below.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

namespace outsize {

// after_metrics: a step's lines are written, the step is not durable; the others of one checkpoint.
inline constexpr const char* kRunKillPoints[] = {"after_metrics",    "before_checkpoint",
                                                 "mid_checkpoint",   "before_checkpoint_sync",
                                                 "after_checkpoint", "after_prune"};

class KillAt {
 public:
  // Reads the variable. Throws InvalidArgument when it names no point.
  KillAt();
  bool armed() const { return !point_.empty(); }
  // Any thread.
  void reached(std::string_view point);

 private:
  std::string point_;
  std::atomic<int> left_{0};
};

}  // namespace outsize
