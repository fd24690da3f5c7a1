#include "plan/task_list.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

namespace outsize {
namespace {

void sort_out_doubles(BufferIds& list) {
  if (list.size() < 2) return;
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

}  // namespace

Task TaskList::moving(TaskKind kind, std::span<const Move> moves) const {
  Task task{.kind = kind,
            .resource = kind == TaskKind::read ? Resource::disk_read : Resource::disk_write};
  for (const Move& move : moves) {
    task.bytes += static_cast<double>(move.bytes);
    task.reads.push_back(move.from);
    task.writes.push_back(move.to);
  }
  sort_out_doubles(task.reads);
  sort_out_doubles(task.writes);
  if (with_moves_) task.moves.assign(moves.begin(), moves.end());
  return task;
}

void TaskList::lead(Task task) {
  task.resource = Resource::disk_write;
  leading_.push_back(std::move(task));
}

int TaskList::add(Task task) {
  tasks_.push_back(std::move(task));
  return next() - 1;
}

void TaskList::read_first(int not_before, std::span<const Move> moves) {
  if (!moves.empty()) reads_.push_back({next(), not_before, moving(TaskKind::read, moves)});
}

void TaskList::write_after(std::span<const Move> moves) {
  if (!moves.empty()) writes_.push_back({next() - 1, moving(TaskKind::write, moves)});
}

void TaskList::follow(Task task) {
  task.resource = Resource::disk_write;
  writes_.push_back({next() - 1, std::move(task)});
}

// In the order of use, each as early as what was read for tasks after the one at work stays within
// the limit of every position; a read that is larger than that comes when it is needed.
void TaskList::issue_reads(const std::vector<double>& limits) {
  std::vector<double> ahead(tasks_.size(), 0);  // bytes, per position
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
  std::vector<int> hold(plan.buffers.size(), -1);
  const auto release = [&](const Task& task, int until) {
    for (int id : task.reads)
      if (plan.buffers[static_cast<size_t>(id)].extent.tier == Tier::host)
        hold[static_cast<size_t>(id)] = std::max(hold[static_cast<size_t>(id)], until);
  };
  const auto limit = static_cast<double>(write_behind_bytes);
  double bytes = 0, released = 0;  // of the writes so far, and of those among them that are
  auto behind = writes_.begin(), write = behind;
  for (int s = 0; s < next(); ++s) {
    for (; write != writes_.end() && write->position == s; ++write) bytes += write->task.bytes;
    for (; behind != write && bytes - released > limit; ++behind) {
      release(behind->task, s);
      released += behind->task.bytes;
    }
  }
  for (; behind != writes_.end(); ++behind) release(behind->task, next());
  return hold;
}

// The last ones until the end, as many as find RAM free until then: the next run begins with little
// of its own, and the disk goes on beside it.
void TaskList::hold_last_written(const Plan& plan, double fill_bytes,
                                 std::vector<int>& hold) const {
  std::vector<double> used = bytes_in_use(plan, hold);
  for (auto write = writes_.rbegin(); write != writes_.rend(); ++write)
    for (int id : write->task.reads) {
      const auto b = static_cast<size_t>(id);
      const Buffer& buffer = plan.buffers[b];
      if (buffer.extent.tier != Tier::host || buffer.persistent || hold[b] >= next()) continue;
      const auto first = used.begin() + hold[b] + 1;
      const auto bytes = static_cast<double>(whole_pages(buffer.extent.bytes));
      if (std::any_of(first, used.end(), [&](double at) { return at + bytes > fill_bytes; }))
        return;
      std::for_each(first, used.end(), [&](double& at) { at += bytes; });
      hold[b] = next();
    }
}

// Of RAM at each position.
std::vector<double> TaskList::bytes_in_use(const Plan& plan, const std::vector<int>& hold) const {
  constexpr int kNever = -1;
  std::vector<int> first(plan.buffers.size(), kNever), last = hold;
  const auto use = [&](std::span<const int> buffers, int position) {
    for (int id : buffers) {
      const auto b = static_cast<size_t>(id);
      first[b] = first[b] == kNever ? position : std::min(first[b], position);
      last[b] = std::max(last[b], position);
    }
  };
  for (int s = 0; s < next(); ++s) {
    const Task& task = tasks_[static_cast<size_t>(s)];
    use(task.reads, s);
    use(task.writes, s);
  }
  for (const Read& read : reads_) use(read.task.writes, read.issue);
  std::vector<double> change(tasks_.size() + 1, 0);
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

// Returns the number of the task at each position.
std::vector<int> TaskList::list_tasks(Plan& plan) {
  plan.tasks.reserve(leading_.size() + tasks_.size() + reads_.size() + writes_.size());
  std::move(leading_.begin(), leading_.end(), std::back_inserter(plan.tasks));
  std::vector<int> number;
  number.reserve(tasks_.size() + 1);
  auto read = reads_.begin();
  auto write = writes_.begin();
  for (int s = 0; s < next(); ++s) {
    for (; read != reads_.end() && read->issue == s; ++read)
      plan.tasks.push_back(std::move(read->task));
    number.push_back(static_cast<int>(plan.tasks.size()));
    plan.tasks.push_back(std::move(tasks_[static_cast<size_t>(s)]));
    for (; write != writes_.end() && write->position == s; ++write)
      plan.tasks.push_back(std::move(write->task));
  }
  number.push_back(static_cast<int>(plan.tasks.size()) - 1);
  return number;
}

std::vector<int> TaskList::emit(Plan& plan, const Window& window) {
  std::vector<double> limits(tasks_.size(), static_cast<double>(window.read_ahead_bytes));
  issue_reads(limits);
  std::vector<int> hold = hold_written(plan, window.write_behind_bytes);
  if (window.fill_bytes > 0) {
    const std::vector<double> used = bytes_in_use(plan, hold);
    for (size_t s = 0; s < limits.size(); ++s)
      limits[s] += std::max(static_cast<double>(window.fill_bytes) - used[s], 0.0);
    issue_reads(limits);
    if (plan.carries) hold_last_written(plan, static_cast<double>(window.fill_bytes), hold);
  }
  const std::vector<int> number = list_tasks(plan);
  for (int& until : hold)
    if (until >= 0) until = number[static_cast<size_t>(until)];
  return hold;
}

}  // namespace outsize
