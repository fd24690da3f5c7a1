#include "train/op_profile.h"

#include <fmt/format.h>

namespace outsize {

std::map<std::string, double> seconds_by_op(const Executor& executor) {
  std::map<std::string, double> seconds;
  for (const auto& time : executor.op_times()) seconds[time.call->op->name] += time.seconds;
  return seconds;
}

std::string describe_step(const Executor& executor, double gemm_gflops) {
  struct Row {
    double seconds = 0, flops = 0;
    int count = 0;
  };
  std::map<std::string, Row> rows;
  double total = 0;
  const auto& tasks = executor.plan().tasks;
  for (size_t t = 0; t < tasks.size(); ++t) {
    std::string key = name_of(tasks[t].kind);
    if (tasks[t].call >= 0) {
      const Program& program = executor.program();
      const Call& call = program.calls[static_cast<size_t>(tasks[t].call)];
      key += " " + program.segments[static_cast<size_t>(call.segment)].name;
    }
    Row& row = rows[key];
    const double seconds = executor.times()[t].end_seconds - executor.times()[t].start_seconds;
    row.seconds += seconds;
    row.flops += tasks[t].flops;
    ++row.count;
    total += seconds;
  }
  std::string text = fmt::format("{:<28} {:>6} {:>9} {:>6} {:>8} {:>10}\n", "task", "count",
                                 "seconds", "share", "floor", "of rate");
  for (const auto& [key, row] : rows) {
    const double floor = row.flops / gemm_gflops / 1e9;
    text += fmt::format("{:<28} {:>6} {:>9.4f} {:>5.1f}% {:>8.4f} {:>9.2f}\n", key, row.count,
                        row.seconds, 100 * row.seconds / total, floor,
                        row.seconds > 0 ? floor / row.seconds : 0.0);
  }
  for (const auto& [op, seconds] : seconds_by_op(executor))
    text += fmt::format("  op {:<25} {:>15.4f} {:>5.1f}%\n", op, seconds, 100 * seconds / total);
  return text;
}

}  // namespace outsize
