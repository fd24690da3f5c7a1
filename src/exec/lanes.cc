#include "exec/lanes.h"

namespace outsize {

Lanes::Lanes(const Plan& plan, std::function<void(int task)> run_task)
    : plan_(plan), run_task_(std::move(run_task)) {
  watched_.assign(plan.tasks.size(), false);
  ended_ = watched_;
  for (size_t t = 0; t < plan.tasks.size(); ++t) {
    queues_[static_cast<size_t>(plan.tasks[t].resource)].push_back(static_cast<int>(t));
    for (int earlier : plan.tasks[t].after) watched_[static_cast<size_t>(earlier)] = true;
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
  for (std::uint64_t done = 0;; ++done) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stop_ || step_ > done; });
      if (stop_) return;
    }
    run_lane(lane);
    {
      const std::lock_guard lock(mutex_);
      ++at_rest_;
    }
    changed_.notify_all();
  }
}

bool Lanes::wait_for(std::span<const int> tasks) {
  if (tasks.empty()) return true;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    if (failure_) return true;
    for (int task : tasks)
      if (!ended_[static_cast<size_t>(task)]) return false;
    return true;
  });
  return !failure_;
}

void Lanes::run_lane(size_t lane) {
  try {
    for (int task : queues_[lane]) {
      if (!wait_for(plan_.tasks[static_cast<size_t>(task)].after)) return;
      run_task_(task);
      if (!watched_[static_cast<size_t>(task)]) continue;
      {
        const std::lock_guard lock(mutex_);
        ended_[static_cast<size_t>(task)] = true;
        if (failure_) return;
      }
      changed_.notify_all();
    }
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
    changed_.notify_all();
  }
}

void Lanes::run() {
  {
    const std::lock_guard lock(mutex_);
    ended_.assign(ended_.size(), false);
    failure_ = nullptr;
    at_rest_ = 0;
    ++step_;
  }
  changed_.notify_all();
  run_lane(static_cast<size_t>(Resource::cpu));
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return at_rest_ == static_cast<int>(workers_.size()); });
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace outsize
