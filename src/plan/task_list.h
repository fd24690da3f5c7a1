// The work of a step on the processor, in order, and around it what must come to RAM before a task
// and may leave it after one. Turns both into one list of tasks: reads run ahead of their use and
// writes lag behind their source, each by a number of bytes that the plan's memory allows.
#pragma once

#include <span>
#include <vector>

#include "plan/plan.h"

namespace outsize {

struct Window {
  std::int64_t read_ahead_bytes = 0;    // read and not yet used
  std::int64_t write_behind_bytes = 0;  // not yet written while later work goes on
  // Where less RAM than this is in use, reads run further ahead, and in a plan that carries the
  // last writes lag further behind. 0: nowhere.
  std::int64_t fill_bytes = 0;
};

class TaskList {
 public:
  // Without `with_moves` tasks name the buffers that they move, no more.
  explicit TaskList(bool with_moves = true) : with_moves_(with_moves) {}

  // Before all others, on disk_write.
  void lead(Task task);
  // Position that the next task gets.
  int next() const { return static_cast<int>(tasks_.size()); }
  int add(Task task);
  // The moves end before the next task starts and begin after the one at `not_before` and its
  // writes (-1: any time).
  void read_first(int not_before, std::span<const Move> moves);
  // The moves follow the last task.
  void write_after(std::span<const Move> moves);
  // After the writes so far, and on their resource.
  void follow(Task task);

  // Fills plan.tasks, once. Returns per buffer the task until which it keeps its place.
  std::vector<int> emit(Plan& plan, const Window& window);

 private:
  struct Read {
    int position = 0, not_before = -1;
    Task task;
    int issue = 0;  // just before this position's task
  };
  struct Write {
    int position = 0;
    Task task;
  };

  Task moving(TaskKind kind, std::span<const Move> moves) const;
  void issue_reads(const std::vector<double>& limits);
  std::vector<int> hold_written(const Plan& plan, std::int64_t write_behind_bytes) const;
  void hold_last_written(const Plan& plan, double fill_bytes, std::vector<int>& hold) const;
  std::vector<double> bytes_in_use(const Plan& plan, const std::vector<int>& hold) const;
  std::vector<int> list_tasks(Plan& plan);

  bool with_moves_;
  std::vector<Task> leading_;
  std::vector<Task> tasks_;    // by position
  std::vector<Read> reads_;    // in the order of positions, as are
  std::vector<Write> writes_;  // these
};

}  // namespace outsize
