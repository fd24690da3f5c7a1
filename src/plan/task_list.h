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
  // After the writes so far that follow the task: the buffers, all of the group, have their new
  // content.
  void publish_after(int position, int group, std::vector<int> buffers);

  // Fills plan.tasks. Returns per buffer the task until which it keeps its place.
  std::vector<int> emit(Plan& plan, const Window& window);

 private:
  struct Read {
    int position = 0, not_before = -1;
    Task task;
  };
  struct Step {
    Task task;
    std::vector<Task> reads, writes;  // reads: issued just before this task
  };

  void issue_reads(const Window& window);
  void hold_written(const Plan& plan, const std::vector<int>& number, const Window& window,
                    std::vector<int>& hold) const;

  std::vector<Step> steps_;
  std::vector<Read> reads_;
};

}  // namespace outsize
