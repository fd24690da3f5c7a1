// The work of a step on the processor, in order, and around it what must come to RAM before a task
// and may leave it after one. Turns both into one list of tasks: reads run ahead of their use and
// writes lag behind their source, each by a number of bytes that the plan's memory allows.
#pragma once

#include <vector>

#include "plan/plan.h"

namespace outsize {

struct Window {
  std::int64_t read_ahead_bytes = 0;    // read and not yet used
  std::int64_t write_behind_bytes = 0;  // not yet written while later work goes on
  // Where less RAM than this is in use, reads run further ahead. 0: nowhere.
  std::int64_t fill_bytes = 0;
};

class TaskList {
 public:
  // Position that the next task gets.
  int next() const { return static_cast<int>(steps_.size()); }
  int add(Task task);
  // The moves end before the task at `position` starts and begin after the one at `not_before` and
  // its writes (-1: any time).
  void read_before(int position, int not_before, std::vector<Move> moves);
  // The moves follow the task at `position`; it exists already.
  void write_after(int position, std::vector<Move> moves);
  // After the writes so far that follow the task, and on their resource.
  void follow(int position, Task task);

  // Fills plan.tasks. Returns per buffer the task until which it keeps its place.
  std::vector<int> emit(Plan& plan, const Window& window);

 private:
  struct Read {
    int position = 0, not_before = -1;
    Task task;
    int issue = 0;  // just before this position's task
  };
  struct Step {
    Task task;
    std::vector<Task> writes;
  };

  void issue_reads(const std::vector<double>& limits);
  std::vector<int> hold_written(const Plan& plan, std::int64_t write_behind_bytes) const;
  std::vector<double> bytes_in_use(const Plan& plan, const std::vector<int>& hold) const;

  std::vector<Step> steps_;
  std::vector<Read> reads_;
};

}  // namespace outsize
