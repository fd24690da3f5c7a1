#include "exec/lanes.h"

#include <utility>

namespace outsize {

Lanes::Lanes(const Plan& plan, RunTask run_task) : plan_(plan), run_task_(std::move(run_task)) {
  watched_.assign(plan.tasks.size(), false);
  ended_.assign(plan.tasks.size(), 0);
  for (size_t t = 0; t < plan.tasks.size(); ++t) {
    const Task& task = plan.tasks[t];
    queues_[static_cast<size_t>(task.resource)].push_back(static_cast<int>(t));
    for (int earlier : task.after) watched_[static_cast<size_t>(earlier)] = true;
    if (task.after_previous >= 0) watched_[static_cast<size_t>(task.after_previous)] = true;
  }
  for (size_t lane = 1; lane < kResourceCount; ++lane)
    if (!queues_[lane].empty()) workers_.emplace_back([this, lane] { work(lane); });
}

Lanes::~Lanes() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Lanes::work(size_t lane) {
  for (std::uint64_t run = 1;; ++run) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stop_ || run_ >= run; });
      if (run_ < run) return;
    }
    run_lane(lane, run);
    {
      const std::lock_guard lock(mutex_);
      done_[lane] = run;
    }
    changed_.notify_all();
  }
}

bool Lanes::wait_for(const Task& task, std::uint64_t run) {
  if (task.after.empty() && task.after_previous < 0) return !failed_;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    if (failure_) return true;
    if (task.after_previous >= 0 && !has_ended(task.after_previous, run - 1)) return false;
    for (int earlier : task.after)
      if (!has_ended(earlier, run)) return false;
    return true;
  });
  return !failure_;
}

void Lanes::run_lane(size_t lane, std::uint64_t run) {
  try {
    for (int task : queues_[lane]) {
      if (!wait_for(plan_.tasks[static_cast<size_t>(task)], run)) return;
      run_task_(task, run);
      if (!watched_[static_cast<size_t>(task)]) continue;
      {
        const std::lock_guard lock(mutex_);
        ended_[static_cast<size_t>(task)] = run;
        if (failure_) return;
      }
      changed_.notify_all();
    }
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      failed_ = true;
    }
    changed_.notify_all();
  }
}

// Every lane is through with all runs, disk_write with all but the last `behind`.
bool Lanes::at_rest(std::uint64_t behind) const {
  for (size_t lane = 1; lane < kResourceCount; ++lane) {
    const bool writes = lane == static_cast<size_t>(Resource::disk_write);
    if (!queues_[lane].empty() && done_[lane] + (writes ? behind : 0) < run_) return false;
  }
  return true;
}

// What was not run for it counts as ended: nothing of the next run may wait for it.
void Lanes::throw_failure(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [&] { return at_rest(0); });
  ended_.assign(ended_.size(), run_);
  failed_ = false;
  std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Lanes::run() {
  std::uint64_t run = 0;
  {
    std::unique_lock lock(mutex_);
    if (failure_) throw_failure(lock);
    run = ++run_;
  }
  changed_.notify_all();
  run_lane(static_cast<size_t>(Resource::cpu), run);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || at_rest(plan_.carries ? 1 : 0); });
  if (failure_) throw_failure(lock);
}

void Lanes::settle() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || at_rest(0); });
  if (failure_) throw_failure(lock);
}

std::uint64_t Lanes::runs() {
  const std::lock_guard lock(mutex_);
  return run_;
}

}  // namespace outsize
