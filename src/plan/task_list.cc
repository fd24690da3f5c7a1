#include "plan/task_list.h"

#include <algorithm>
#include <deque>

namespace outsize {
namespace {

Task moving(TaskKind kind, std::vector<Move> moves) {
  Task task{.kind = kind,
            .resource = kind == TaskKind::read ? Resource::disk_read : Resource::disk_write};
  for (const Move& move : moves) {
    task.bytes += static_cast<double>(move.bytes);
    task.reads.push_back(move.from);
    task.writes.push_back(move.to);
  }
  for (auto* list : {&task.reads, &task.writes}) {
    std::sort(list->begin(), list->end());
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
  task.moves = std::move(moves);
  return task;
}

}  // namespace

int TaskList::add(Task task) {
  steps_.push_back({std::move(task), {}, {}});
  return next() - 1;
}

void TaskList::read_before(int position, int not_before, std::vector<Move> moves) {
  if (moves.empty()) return;
  reads_.push_back({position, not_before, moving(TaskKind::read, std::move(moves))});
}

void TaskList::write_after(int position, std::vector<Move> moves) {
  if (moves.empty()) return;
  steps_[static_cast<size_t>(position)].writes.push_back(moving(TaskKind::write, std::move(moves)));
}

void TaskList::publish_after(int position, int group, std::vector<int> buffers) {
  Task task{.kind = TaskKind::publish, .resource = Resource::disk_write, .group = group};
  task.writes = std::move(buffers);
  steps_[static_cast<size_t>(position)].writes.push_back(std::move(task));
}

// In the order of use, each as early as the window allows: what was read for tasks after the one at
// work stays within it. What is larger than the window is read when it is needed.
void TaskList::issue_reads(const Window& window) {
  std::stable_sort(reads_.begin(), reads_.end(),
                   [](const Read& a, const Read& b) { return a.position < b.position; });
  struct Ahead {
    int position;
    double bytes;
  };
  std::deque<Ahead> ahead;
  double bytes_ahead = 0;
  int issue = 0;
  for (Read& read : reads_) {
    issue = std::min(std::max(issue, read.not_before + 1), read.position);
    const auto room = static_cast<double>(window.read_ahead_bytes) - read.task.bytes;
    if (room < 0) issue = read.position;
    while (!ahead.empty() && (ahead.front().position <= issue || bytes_ahead > room)) {
      issue = std::min(std::max(issue, ahead.front().position), read.position);
      bytes_ahead -= ahead.front().bytes;
      ahead.pop_front();
    }
    ahead.push_back({read.position, read.task.bytes});
    bytes_ahead += read.task.bytes;
    steps_[static_cast<size_t>(issue)].reads.push_back(std::move(read.task));
  }
}

// What is written keeps its place in RAM until later writes have gone on for the window's bytes.
void TaskList::hold_written(const Plan& plan, const std::vector<int>& number, const Window& window,
                            std::vector<int>& hold) const {
  struct Behind {
    const Task* task;
    double bytes_before;  // written before it
  };
  std::deque<Behind> behind;
  double bytes = 0;
  const auto release = [&](const Task& task, int until) {
    for (int id : task.reads)
      if (plan.buffers[static_cast<size_t>(id)].extent.tier == Tier::host)
        hold[static_cast<size_t>(id)] = std::max(hold[static_cast<size_t>(id)], until);
  };
  for (size_t s = 0; s < steps_.size(); ++s) {
    for (const Task& write : steps_[s].writes) {
      behind.push_back({&write, bytes});
      bytes += write.bytes;
    }
    while (!behind.empty() &&
           bytes - behind.front().bytes_before > static_cast<double>(window.write_behind_bytes)) {
      release(*behind.front().task, number[s]);
      behind.pop_front();
    }
  }
  for (const Behind& last : behind) release(*last.task, static_cast<int>(plan.tasks.size()) - 1);
}

std::vector<int> TaskList::emit(Plan& plan, const Window& window) {
  issue_reads(window);
  std::vector<int> number;
  for (const Step& step : steps_) {
    plan.tasks.insert(plan.tasks.end(), step.reads.begin(), step.reads.end());
    number.push_back(static_cast<int>(plan.tasks.size()));
    plan.tasks.push_back(step.task);
    plan.tasks.insert(plan.tasks.end(), step.writes.begin(), step.writes.end());
  }
  std::vector<int> hold(plan.buffers.size(), -1);
  hold_written(plan, number, window, hold);
  return hold;
}

}  // namespace outsize
