#include "plan/simulate.h"

#include <algorithm>
#include <limits>

#include "core/error.h"

namespace outsize {
namespace {

constexpr int kNone = -1;

class Simulator {
 public:
  Simulator(const Plan& plan, const SimulatedMachine& machine) : plan_(plan), machine_(machine) {
    result_.tasks.resize(plan.tasks.size());
    left_.resize(plan.tasks.size());
    ended_.assign(plan.tasks.size(), false);
    waited_for_.assign(plan.tasks.size(), kNone);
    running_.fill(kNone);
    last_.fill(kNone);
    for (size_t t = 0; t < plan.tasks.size(); ++t)
      queues_[lane_of(t)].push_back(static_cast<int>(t));
  }

  Simulation run() {
    for (size_t done = 0; done < plan_.tasks.size();) {
      start_tasks();
      done += advance();
    }
    result_.seconds = now_;
    find_limit();
    return std::move(result_);
  }

 private:
  size_t lane_of(size_t t) const { return static_cast<size_t>(plan_.tasks[t].resource); }

  double alone(const Task& task) const {
    const auto lane = static_cast<size_t>(task.resource);
    if (task.seconds > 0 || machine_.bytes_per_second[lane] <= 0) return task.seconds;
    return machine_.latency_seconds[lane] + task.bytes / machine_.bytes_per_second[lane];
  }

  bool may_start(int t) const {
    for (const int earlier : plan_.tasks[static_cast<size_t>(t)].after) {
      ensure(earlier >= 0 && earlier < static_cast<int>(ended_.size()),
             "[simulate] task {} waits for task {}, which does not exist", t, earlier);
      if (!ended_[static_cast<size_t>(earlier)]) return false;
    }
    return true;
  }

  void start_tasks() {
    for (size_t lane = 0; lane < kResourceCount; ++lane) {
      if (running_[lane] != kNone || next_[lane] == queues_[lane].size()) continue;
      const int t = queues_[lane][next_[lane]];
      if (!may_start(t)) continue;
      ++next_[lane];
      running_[lane] = t;
      left_[static_cast<size_t>(t)] = alone(plan_.tasks[static_cast<size_t>(t)]);
      result_.tasks[static_cast<size_t>(t)].start_seconds = now_;
      note_what_it_waited_for(t, lane);
    }
  }

  void note_what_it_waited_for(int t, size_t lane) {
    int latest = last_[lane];
    for (const int earlier : plan_.tasks[static_cast<size_t>(t)].after)
      if (latest == kNone || end_of(earlier) > end_of(latest)) latest = earlier;
    waited_for_[static_cast<size_t>(t)] = latest;
  }

  double end_of(int t) const { return result_.tasks[static_cast<size_t>(t)].end_seconds; }

  double slowdown(size_t lane) const {
    double factor = 1;
    for (size_t other = 0; other < kResourceCount; ++other)
      if (other != lane && running_[other] != kNone) factor += machine_.slowdown[lane][other] - 1;
    return std::max(factor, 1.0);
  }

  // To the next end of a task. How many ended.
  size_t advance() {
    PerResource<double> factors{}, needs{};
    double pass = std::numeric_limits<double>::infinity();
    for (size_t lane = 0; lane < kResourceCount; ++lane) {
      if (running_[lane] == kNone) continue;
      factors[lane] = slowdown(lane);
      needs[lane] = left_[static_cast<size_t>(running_[lane])] * factors[lane];
      pass = std::min(pass, needs[lane]);
    }
    ensure(pass < std::numeric_limits<double>::infinity(),
           "[simulate] the plan stands still: its tasks wait for each other");
    now_ += pass;
    size_t count = 0;
    for (size_t lane = 0; lane < kResourceCount; ++lane) {
      if (running_[lane] == kNone) continue;
      result_.busy[lane] += pass;
      // Two that end together by their sums must not end an ulp apart.
      constexpr double kTogether = 1 + 1e-12;
      if (needs[lane] > pass * kTogether) {
        left_[static_cast<size_t>(running_[lane])] -= pass / factors[lane];
        continue;
      }
      end(lane);
      ++count;
    }
    return count;
  }

  void end(size_t lane) {
    const int t = running_[lane];
    result_.tasks[static_cast<size_t>(t)].end_seconds = now_;
    ended_[static_cast<size_t>(t)] = true;
    last_[lane] = t;
    running_[lane] = kNone;
  }

  void find_limit() {
    int t = kNone;
    for (const int last : last_)
      if (last != kNone && (t == kNone || end_of(last) > end_of(t))) t = last;
    for (; t != kNone; t = waited_for_[static_cast<size_t>(t)]) {
      const TaskTime& time = result_.tasks[static_cast<size_t>(t)];
      result_.critical[lane_of(static_cast<size_t>(t))] += time.end_seconds - time.start_seconds;
    }
    const auto top = std::max_element(result_.critical.begin(), result_.critical.end());
    result_.limit = static_cast<Resource>(top - result_.critical.begin());
  }

  const Plan& plan_;
  const SimulatedMachine& machine_;
  Simulation result_;
  PerResource<std::vector<int>> queues_;
  PerResource<size_t> next_{};
  PerResource<int> running_, last_;
  std::vector<double> left_;  // seconds of a started task, alone
  std::vector<char> ended_;
  std::vector<int> waited_for_;
  double now_ = 0;
};

}  // namespace

Simulation simulate(const Plan& plan, const SimulatedMachine& machine) {
  return Simulator(plan, machine).run();
}

}  // namespace outsize
