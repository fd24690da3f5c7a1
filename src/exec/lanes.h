// One worker per resource takes its tasks in the plan's order and waits for those it depends on.
// The caller's thread is the processor's worker; the others sleep between steps. A task that throws
// stops all lanes; what it threw comes out of run().
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "plan/plan.h"

namespace outsize {

class Lanes {
 public:
  // Borrows the plan. `run_task` is called from the lane of the task; lanes run at the same time.
  Lanes(const Plan& plan, std::function<void(int task)> run_task);
  ~Lanes();
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  // Every task once. Returns or throws when all lanes are at rest.
  void run();

 private:
  void work(size_t lane);
  void run_lane(size_t lane);
  // False when another lane has failed.
  bool wait_for(std::span<const int> tasks);

  const Plan& plan_;
  std::function<void(int)> run_task_;
  PerResource<std::vector<int>> queues_;
  std::vector<char> watched_;  // per task: another lane waits for it

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<char> ended_;  // of watched tasks, this step
  std::exception_ptr failure_;
  std::uint64_t step_ = 0;
  int at_rest_ = 0;  // workers that have finished the step
  bool stop_ = false;
  std::vector<std::thread> workers_;  // last: they use all of the above
};

}  // namespace outsize
