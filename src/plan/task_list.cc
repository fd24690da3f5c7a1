#include "plan/task_list.h"

#include <algorithm>
#include <deque>
#include <numeric>

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
  steps_.push_back({std::move(task), {}});
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

void TaskList::follow(int position, Task task) {
  task.resource = Resource::disk_write;
  steps_[static_cast<size_t>(position)].writes.push_back(std::move(task));
}

// In the order of use, each as early as what was read for tasks after the one at work stays within
// the limit of every position; a read that is larger than that comes when it is needed.
void TaskList::issue_reads(const std::vector<double>& limits) {
  std::vector<double> ahead(steps_.size(), 0);  // bytes, per position
  int earliest = 0;
  for (Read& read : reads_) {
    earliest = std::min(std::max(earliest, read.not_before + 1), read.position);
    read.issue = read.position;
    while (read.issue > earliest) {
      const auto before = static_cast<size_t>(read.issue) - 1;
      if (ahead[before] + read.task.bytes > limits[before]) break;
      ahead[before] += read.task.bytes;
      --read.issue;
    }
    earliest = read.issue;
  }
}

// Per buffer the position until which it keeps its place, or one after all: what is written stays
// until later writes have gone on for the window's bytes.
std::vector<int> TaskList::hold_written(const Plan& plan, std::int64_t write_behind_bytes) const {
  struct Behind {
    const Task* task;
    double bytes_before;  // written before it
  };
  std::vector<int> hold(plan.buffers.size(), -1);
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
           bytes - behind.front().bytes_before > static_cast<double>(write_behind_bytes)) {
      release(*behind.front().task, static_cast<int>(s));
      behind.pop_front();
    }
  }
  for (const Behind& last : behind) release(*last.task, next());
  return hold;
}

// Of RAM at each position.
std::vector<double> TaskList::bytes_in_use(const Plan& plan, const std::vector<int>& hold) const {
  constexpr int kNever = -1;
  std::vector<int> first(plan.buffers.size(), kNever), last = hold;
  const auto use = [&](const std::vector<int>& buffers, int position) {
    for (int id : buffers) {
      const auto b = static_cast<size_t>(id);
      first[b] = first[b] == kNever ? position : std::min(first[b], position);
      last[b] = std::max(last[b], position);
    }
  };
  for (int s = 0; s < next(); ++s) {
    const Task& task = steps_[static_cast<size_t>(s)].task;
    use(task.reads, s);
    use(task.writes, s);
  }
  for (const Read& read : reads_) use(read.task.writes, read.issue);
  std::vector<double> change(steps_.size() + 1, 0);
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    const Buffer& buffer = plan.buffers[b];
    if (buffer.extent.tier != Tier::host || (first[b] == kNever && !buffer.persistent)) continue;
    const auto bytes = static_cast<double>(whole_pages(buffer.extent.bytes));
    const bool always = buffer.persistent;
    change[always ? 0 : static_cast<size_t>(first[b])] += bytes;
    if (!always && last[b] < next()) change[static_cast<size_t>(last[b]) + 1] -= bytes;
  }
  change.pop_back();
  std::partial_sum(change.begin(), change.end(), change.begin());
  return change;
}

std::vector<int> TaskList::emit(Plan& plan, const Window& window) {
  std::stable_sort(reads_.begin(), reads_.end(),
                   [](const Read& a, const Read& b) { return a.position < b.position; });
  std::vector<double> limits(steps_.size(), static_cast<double>(window.read_ahead_bytes));
  issue_reads(limits);
  std::vector<int> hold = hold_written(plan, window.write_behind_bytes);
  if (window.fill_bytes > 0) {
    const std::vector<double> used = bytes_in_use(plan, hold);
    for (size_t s = 0; s < limits.size(); ++s)
      limits[s] += std::max(static_cast<double>(window.fill_bytes) - used[s], 0.0);
    issue_reads(limits);
  }
  std::vector<int> number;  // of the task at each position
  size_t next_read = 0;
  for (size_t s = 0; s < steps_.size(); ++s) {
    for (; next_read < reads_.size() && reads_[next_read].issue == static_cast<int>(s); ++next_read)
      plan.tasks.push_back(std::move(reads_[next_read].task));
    number.push_back(static_cast<int>(plan.tasks.size()));
    plan.tasks.push_back(std::move(steps_[s].task));
    for (Task& write : steps_[s].writes) plan.tasks.push_back(std::move(write));
  }
  number.push_back(static_cast<int>(plan.tasks.size()) - 1);
  for (int& until : hold)
    if (until >= 0) until = number[static_cast<size_t>(until)];
  return hold;
}

}  // namespace outsize
