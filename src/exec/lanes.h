// One worker per resource takes its tasks in the plan's order and waits for those it depends on.
// The caller's thread is the processor's worker; the others sleep between runs. A task that throws
// stops all lanes; what it threw comes out of run() or settle().
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "plan/plan.h"

namespace outsize {

class Lanes {
 public:
  using RunTask = std::function<void(int task, std::uint64_t run)>;
  // Borrows the plan. `run_task` is called from the lane of the task; lanes run at the same time.
  Lanes(const Plan& plan, RunTask run_task);
  ~Lanes();
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  // Every task once. Returns when all lanes are at rest; of a plan that carries, disk_write may by
  // then be behind with tasks of this run, not of earlier ones. Throws when all are at rest.
  void run();
  // Waits until all lanes are at rest. Throws as run().
  void settle();
  // How many there have been, the one at work included.
  std::uint64_t runs();

 private:
  void work(size_t lane);
  void run_lane(size_t lane, std::uint64_t run);
  // Until what the task depends on has ended. False when a lane has failed, this one in the run
  // before: what that did not finish must not be committed.
  bool wait_for(const Task& task, std::uint64_t run);
  bool has_ended(int task, std::uint64_t run) const {
    return ended_[static_cast<size_t>(task)] >= run;
  }
  bool at_rest(std::uint64_t behind) const;
  void throw_failure(std::unique_lock<std::mutex>& lock);

  const Plan& plan_;
  RunTask run_task_;
  PerResource<std::vector<int>> queues_;
  std::vector<char> watched_;  // per task: another lane waits for it

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::uint64_t> ended_;  // of watched tasks: the last run in which each did
  std::exception_ptr failure_;
  std::atomic<bool> failed_{false};  // there is one
  std::uint64_t run_ = 0;
  PerResource<std::uint64_t> done_{};  // runs that each lane is through with
  bool stop_ = false;
  std::vector<std::thread> workers_;  // last: they use all of the above
};

}  // namespace outsize
