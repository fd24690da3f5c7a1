#include "train/op_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "train/op_costs.h"

namespace outsize {
namespace {

constexpr size_t kWorstCalls = 12;

class Collector {
 public:
  explicit Collector(const FloorRates& rates) : rates_(rates) {}

  // `share`: of the work that the types allow.
  void add(const std::string& name, const std::string& call, double seconds, double flops,
           double bytes, double share = 1) {
    const auto [at, fresh] = index_.try_emplace(name + call, rows_.size());
    if (fresh) rows_.push_back({name, call});
    ProfileRow& row = rows_[at->second];
    const double compute = share * flops / rates_.gemm_gflops / 1e9;
    const double memory = share * bytes / rates_.ram_gb_per_second / 1e9;
    row.count += 1;
    row.seconds += seconds;
    row.floor_seconds += std::max(compute, memory);
    if (compute >= memory) row.compute_seconds += compute;
  }

  std::vector<ProfileRow> take() { return std::move(rows_); }

 private:
  const FloorRates& rates_;
  std::vector<ProfileRow> rows_;
  std::map<std::string, size_t> index_;
};

void sort_by_loss(std::vector<ProfileRow>& rows) {
  std::stable_sort(rows.begin(), rows.end(), [](const ProfileRow& a, const ProfileRow& b) {
    return a.loss_seconds() > b.loss_seconds();
  });
}

double duration(const Executor& executor, size_t task) {
  return executor.times()[task].end_seconds - executor.times()[task].start_seconds;
}

// What a task without ops (update, norm) moves between RAM and the processor.
double moved_bytes(const Plan& plan, const Task& task) {
  double bytes = 0;
  for (const auto* list : {&task.reads, &task.writes})
    for (int id : *list) {
      if (id < 0) continue;
      const Buffer& buffer = plan.buffers[static_cast<size_t>(id)];
      if (buffer.kind != BufferKind::workspace) bytes += static_cast<double>(buffer.extent.bytes);
    }
  return bytes;
}

const char* bound_of(const ProfileRow& row) {
  return 2 * row.compute_seconds >= row.floor_seconds ? "compute" : "memory";
}

double share_of(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

std::string tasks_table(const Executor& executor, double gemm_gflops) {
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
    row.seconds += duration(executor, t);
    row.flops += tasks[t].flops;
    ++row.count;
    total += duration(executor, t);
  }
  std::string text = fmt::format("{:<28} {:>6} {:>9} {:>7} {:>17}\n", "task", "count", "seconds",
                                 "share", "of the GEMM rate");
  for (const auto& [key, row] : rows)
    text += fmt::format("{:<28} {:>6} {:>9.4f} {:>6.1f}% {:>17.2f}\n", key, row.count, row.seconds,
                        100 * share_of(row.seconds, total),
                        share_of(row.flops / gemm_gflops / 1e9, row.seconds));
  return text;
}

std::string ops_table(const std::vector<ProfileRow>& rows, double step) {
  std::string text = fmt::format("{:<28} {:>6} {:>9} {:>7} {:>9} {:>9} {:>9}  {}\n", "op", "count",
                                 "seconds", "share", "floor", "of floor", "loss", "bound by");
  ProfileRow sum{.name = "all of them"};
  const auto line = [&](const ProfileRow& row, const char* bound) {
    text +=
        fmt::format("{:<28} {:>6} {:>9.4f} {:>6.1f}% {:>9.4f} {:>9.2f} {:>9.4f}  {}\n", row.name,
                    row.count, row.seconds, 100 * share_of(row.seconds, step), row.floor_seconds,
                    share_of(row.floor_seconds, row.seconds), row.loss_seconds(), bound);
  };
  for (const ProfileRow& row : rows) {
    line(row, bound_of(row));
    sum.count += row.count;
    sum.seconds += row.seconds;
    sum.floor_seconds += row.floor_seconds;
  }
  line(sum, "");
  return text + fmt::format("{:<28} {:>6} {:>9.4f} {:>6.1f}%\n", "between them", "",
                            step - sum.seconds, 100 * share_of(step - sum.seconds, step));
}

std::string worst_table(const std::vector<ProfileRow>& rows, double step) {
  std::string text = "What would close the gap: calls by what they lose to their floors\n";
  text += fmt::format("{:>9} {:>15} {:>9}  {}\n", "loss", "step faster by", "of floor", "call");
  for (size_t i = 0; i < std::min(rows.size(), kWorstCalls); ++i) {
    const ProfileRow& row = rows[i];
    if (row.loss_seconds() <= 0) break;
    text += fmt::format("{:>9.4f} {:>14.1f}% {:>9.2f}  {} x {}{}{}\n", row.loss_seconds(),
                        100 * (share_of(step, step - row.loss_seconds()) - 1),
                        share_of(row.floor_seconds, row.seconds), row.count, row.name,
                        row.call.empty() ? "" : " ", row.call);
  }
  return text;
}

}  // namespace

std::vector<ProfileRow> profile_step(const Executor& executor, const FloorRates& rates) {
  Collector collector(rates);
  for (const Executor::OpTime& time : executor.op_times()) {
    const OpCall& call = *time.call;
    const Cost cost = call.op->cost(call.query());
    const char* data = call.op->time_depends_on;
    const bool by_targets = data != nullptr && std::strcmp(data, "targets") == 0;
    std::string text = short_text(call);
    text.erase(0, std::strlen(call.op->name));
    collector.add(call.op->name, text, time.seconds, cost.flops,
                  cost.bytes_read + cost.bytes_written, by_targets ? rates.target_share : 1);
  }
  const Plan& plan = executor.plan();
  for (size_t t = 0; t < plan.tasks.size(); ++t)
    if (plan.tasks[t].microbatch < 0)
      collector.add(name_of(plan.tasks[t].kind), "", duration(executor, t), 0,
                    moved_bytes(plan, plan.tasks[t]));
  std::vector<ProfileRow> rows = collector.take();
  sort_by_loss(rows);
  return rows;
}

std::vector<ProfileRow> merged_by_name(const std::vector<ProfileRow>& rows) {
  std::vector<ProfileRow> merged;
  std::map<std::string, size_t> index;
  for (const ProfileRow& row : rows) {
    const auto [at, fresh] = index.try_emplace(row.name, merged.size());
    if (fresh) merged.push_back({.name = row.name});
    ProfileRow& sum = merged[at->second];
    sum.count += row.count;
    sum.seconds += row.seconds;
    sum.floor_seconds += row.floor_seconds;
    sum.compute_seconds += row.compute_seconds;
  }
  sort_by_loss(merged);
  return merged;
}

std::map<std::string, double> seconds_by_op(const Executor& executor) {
  std::map<std::string, double> seconds;
  for (const auto& time : executor.op_times()) seconds[time.call->op->name] += time.seconds;
  return seconds;
}

std::string describe_step(const Executor& executor, const FloorRates& rates) {
  const std::vector<ProfileRow> rows = profile_step(executor, rates);
  double step = 0;  // what is written after it is not the step's
  for (size_t t = 0; t < executor.plan().tasks.size(); ++t)
    if (executor.plan().tasks[t].resource == Resource::cpu)
      step = std::max(step, executor.times()[t].end_seconds);
  return tasks_table(executor, rates.gemm_gflops) + "\n" + ops_table(merged_by_name(rows), step) +
         fmt::format("Floors: {:.0f} GFLOP/s of matrix products, {:.1f} GB/s of RAM, the larger.\n",
                     rates.gemm_gflops, rates.ram_gb_per_second) +
         "\n" + worst_table(rows, step);
}

nlohmann::json profile_to_json(const std::vector<ProfileRow>& rows) {
  nlohmann::json list = nlohmann::json::array();
  for (const ProfileRow& row : rows)
    list.push_back({{"name", row.name},
                    {"call", row.call},
                    {"count", row.count},
                    {"seconds", row.seconds},
                    {"floor_seconds", row.floor_seconds},
                    {"bound", bound_of(row)}});
  return list;
}

}  // namespace outsize
