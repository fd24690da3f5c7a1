#include "plan/simulate.h"

#include <algorithm>
#include <limits>

#include "core/error.h"

namespace outsize {
namespace {

constexpr int kNone = -1;

// Of a plan that carries two runs, one after the other: the second one is the step. A number below
// is that of a task in a run: tasks of the second one come after all of the first.
class Simulator {
 public:
  Simulator(const Plan& plan, const SimulatedMachine& machine)
      : plan_(plan),
        machine_(machine),
        count_(static_cast<int>(plan.tasks.size())),
        runs_(plan.carries ? 2 : 1) {
    const size_t all = plan.tasks.size() * static_cast<size_t>(runs_);
    times_.resize(all);
    left_.resize(all);
    ended_.assign(all, false);
    waited_for_.assign(all, kNone);
    running_.fill(kNone);
    last_.fill(kNone);
    for (int t = 0; t < count_; ++t) queues_[lane_of(t)].push_back(t);
    to_rest_ = counted_tasks();
  }

  Simulation run() {
    for (size_t done = 0; done < ended_.size();) {
      start_tasks();
      done += advance();
      if (to_rest_ == 0) rest();
    }
    for (int t = 0; t < count_; ++t) {
      const TaskTime& time = times_[static_cast<size_t>((runs_ - 1) * count_ + t)];
      result_.tasks.push_back({time.start_seconds - begin_, time.end_seconds - begin_});
    }
    return std::move(result_);
  }

 private:
  const Task& task(int number) const { return plan_.tasks[static_cast<size_t>(number % count_)]; }
  size_t lane_of(int number) const { return static_cast<size_t>(task(number).resource); }
  bool has_ended(int number) const { return ended_[static_cast<size_t>(number)] != 0; }

  // A run returns when these have ended.
  bool counts(int number) const {
    return !plan_.carries || task(number).resource != Resource::disk_write;
  }
  int counted_tasks() const {
    int count = 0;
    for (int t = 0; t < count_; ++t) count += counts(t);
    return count;
  }

  double alone(const Task& task) const {
    const auto lane = static_cast<size_t>(task.resource);
    if (task.seconds > 0 || machine_.bytes_per_second[lane] <= 0) return task.seconds;
    return machine_.latency_seconds[lane] + task.bytes / machine_.bytes_per_second[lane];
  }

  bool may_start(int number) const {
    const int run = number / count_;
    if (run > run_) return false;
    const int previous = task(number).after_previous;
    ensure(previous < count_, "[simulate] task {} waits for task {}, which does not exist",
           number % count_, previous);
    if (run > 0 && previous >= 0 && !has_ended(previous)) return false;
    for (const int earlier : task(number).after) {
      ensure(earlier >= 0 && earlier < count_,
             "[simulate] task {} waits for task {}, which does not exist", number % count_,
             earlier);
      if (!has_ended(run * count_ + earlier)) return false;
    }
    return true;
  }

  void start_tasks() {
    for (size_t lane = 0; lane < kResourceCount; ++lane) {
      const size_t length = queues_[lane].size(), next = next_[lane];
      if (running_[lane] != kNone || next == length * static_cast<size_t>(runs_)) continue;
      const int number = queues_[lane][next % length] + static_cast<int>(next / length) * count_;
      if (!may_start(number)) continue;
      ++next_[lane];
      running_[lane] = number;
      left_[static_cast<size_t>(number)] = alone(task(number));
      times_[static_cast<size_t>(number)].start_seconds = now_;
      note_what_it_waited_for(number, lane);
    }
  }

  void note_what_it_waited_for(int number, size_t lane) {
    int latest = last_[lane];
    const auto waited = [&](int earlier) {
      if (latest == kNone || end_of(earlier) > end_of(latest)) latest = earlier;
    };
    const int first = number - number % count_;
    for (const int earlier : task(number).after) waited(first + earlier);
    if (const int previous = task(number).after_previous; first > 0 && previous >= 0)
      waited(previous);
    waited_for_[static_cast<size_t>(number)] = latest;
  }

  double end_of(int number) const { return times_[static_cast<size_t>(number)].end_seconds; }

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
    passed_ += pass;
    size_t count = 0;
    for (size_t lane = 0; lane < kResourceCount; ++lane) {
      if (running_[lane] == kNone) continue;
      busy_[lane] += pass;
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
    const int number = running_[lane];
    times_[static_cast<size_t>(number)].end_seconds = now_;
    ended_[static_cast<size_t>(number)] = true;
    last_[lane] = number;
    running_[lane] = kNone;
    if (counts(number)) --to_rest_;
  }

  // A run returns, and the next one begins; of the last one only what it carries is left.
  void rest() {
    to_rest_ = kNone;
    if (++run_ == runs_) {
      result_.seconds = passed_;
      result_.busy = busy_;
      find_limit();
      return;
    }
    to_rest_ = counted_tasks();
    begin_ = now_;
    passed_ = 0;
    busy_ = {};
  }

  void find_limit() {
    int number = kNone;
    for (const int last : last_)
      if (last != kNone && counts(last) && (number == kNone || end_of(last) > end_of(number)))
        number = last;
    for (; number != kNone && end_of(number) > begin_;
         number = waited_for_[static_cast<size_t>(number)]) {
      const double start = times_[static_cast<size_t>(number)].start_seconds;
      result_.critical[lane_of(number)] += end_of(number) - std::max(start, begin_);
    }
    const auto top = std::max_element(result_.critical.begin(), result_.critical.end());
    result_.limit = static_cast<Resource>(top - result_.critical.begin());
  }

  const Plan& plan_;
  const SimulatedMachine& machine_;
  const int count_, runs_;
  Simulation result_;
  PerResource<std::vector<int>> queues_;
  PerResource<size_t> next_{};
  PerResource<int> running_, last_;
  std::vector<TaskTime> times_;
  std::vector<double> left_;  // seconds of a started task, alone
  std::vector<char> ended_;
  std::vector<int> waited_for_;
  PerResource<double> busy_{};  // of the run
  int run_ = 0;
  int to_rest_ = 0;  // tasks until the run returns; kNone after the last one has
  double begin_ = 0, now_ = 0;
  double passed_ = 0;  // since it began, summed as busy_ is
};

}  // namespace

Simulation simulate(const Plan& plan, const SimulatedMachine& machine) {
  return Simulator(plan, machine).run();
}

}  // namespace outsize
