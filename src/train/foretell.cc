#include "train/foretell.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/isa.h"
#include "core/parallel.h"
#include "formats/trace.h"
#include "machine/machine_file.h"
#include "report/progress.h"

namespace outsize {
namespace {

constexpr double kDay = 24 * 3600;
constexpr Resource kResources[] = {Resource::cpu, Resource::disk_read, Resource::disk_write};
static_assert(std::size(kResources) == kResourceCount);

// Seconds since 1970 of "2024-06-07T08:09:10Z"; absent when it is none.
std::optional<double> parse_time(const std::string& text) {
  std::tm time = {};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &time);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return static_cast<double>(::timegm(&time));
}

std::string note_on(const Machine& machine, double now) {
  std::string note;
  const auto measured = parse_time(machine.measured_at);
  if (measured && now - *measured > kDay)
    note =
        fmt::format("the rates are old, {}; `outsize profile` renews them", show_age(machine, now));
  const bool other_isa = !machine.cpu.isa.empty() && machine.cpu.isa != name_of(active_isa());
  if (machine.cpu.cores != thread_count() || other_isa) {
    if (!note.empty()) note += "; ";
    note += fmt::format("the rates are for {} threads{}, this run has {}, {}", machine.cpu.cores,
                        machine.cpu.isa.empty() ? "" : ", " + machine.cpu.isa, thread_count(),
                        name_of(active_isa()));
  }
  return note;
}

double factor_of(const Machine& machine, Resource of, Resource by) {
  const auto row = machine.slowdown.find(name_of(of));
  if (row == machine.slowdown.end()) return 1;
  const auto factor = row->second.find(name_of(by));
  return factor == row->second.end() ? 1 : factor->second;
}

double share_of(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

double length_of(const TaskTime& time) {
  return time.end_seconds - time.start_seconds;
}

// One side of a trace.
struct Timeline {
  const char* name;
  const std::vector<TaskTime>* times;  // absent: there is no such side
};

void add_events(const Program& program, const Plan& plan, const Timeline& timeline,
                const Timeline& other, std::vector<TraceEvent>& events) {
  for (size_t t = 0; timeline.times != nullptr && t < plan.tasks.size(); ++t) {
    const Task& task = plan.tasks[t];
    const TaskTime& time = (*timeline.times)[t];
    TraceEvent event{timeline.name,
                     name_of(task.resource),
                     task_name(program, task),
                     time.start_seconds,
                     length_of(time),
                     {{"task", static_cast<double>(t)},
                      {"gflop", task.flops / 1e9},
                      {"megabytes", task.bytes / 1e6},
                      {"foretold_alone_ms", task.seconds * 1e3}}};
    if (other.times != nullptr)
      event.numbers.emplace_back(fmt::format("{}_ms", other.name),
                                 length_of((*other.times)[t]) * 1e3);
    events.push_back(std::move(event));
  }
}

}  // namespace

namespace {

Rate steady(double rate) {
  return {rate, rate, rate};
}

DiskMachine typical_disk() {
  DiskMachine disk;
  disk.read_gb_per_second = steady(2);
  disk.write_gb_per_second = steady(1);
  disk.latency_seconds = 1e-4;
  return disk;
}

}  // namespace

MachineChoice choose_machine(const std::string& path) {
  MachineChoice choice;
  choice.path = path;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    choice.note = fmt::format("no time is foretold without {}; `outsize profile` writes it", path);
    return choice;
  }
  choice.machine = read_machine(path);
  choice.note = note_on(*choice.machine, static_cast<double>(std::time(nullptr)));
  return choice;
}

std::string show_age(const Machine& machine, double now) {
  const auto measured = parse_time(machine.measured_at);
  if (!measured) return "";
  return fmt::format("measured {} ago", show_duration(std::max(0.0, now - *measured)));
}

SimulatedMachine simulated(const Machine& machine) {
  SimulatedMachine result;
  for (const Resource of : kResources)
    for (const Resource by : kResources)
      result.slowdown[static_cast<size_t>(of)][static_cast<size_t>(by)] =
          factor_of(machine, of, by);
  const DiskMachine disk = machine.disk.value_or(typical_disk());
  const auto set = [&](Resource resource, const Rate& rate) {
    result.bytes_per_second[static_cast<size_t>(resource)] = rate.median * 1e9;
    result.latency_seconds[static_cast<size_t>(resource)] = disk.latency_seconds;
  };
  set(Resource::disk_read, disk.read_gb_per_second);
  set(Resource::disk_write, disk.write_gb_per_second);
  return result;
}

Machine typical_machine() {
  Machine machine;
  machine.name = "typical";
  machine.cpu.gemm_f32_gflops = steady(200);
  machine.cpu.gemm_bf16_gflops = steady(400);
  machine.ram.copy_gb_per_second = steady(20);
  machine.disk = typical_disk();
  return machine;
}

Simulation play(const Plan& plan, const Machine& machine, double target_share) {
  Plan thinned = plan;
  for (Task& task : thinned.tasks)
    if (!task.target_seconds.empty())
      task.seconds +=
          at_target_share(task.target_seconds, target_share) - task.target_seconds.front();
  return simulate(thinned, simulated(machine));
}

Forecast::Forecast(const Plan& plan, const Machine& machine) {
  full_ = simulate(plan, simulated(machine));
  seconds_without_targets_ = play(plan, machine, 0).seconds;
  double share = 1;
  for (int i = 0; i < kTargetPrices; ++i, share /= 2)
    target_seconds_.push_back(play(plan, machine, share).seconds - seconds_without_targets_);
}

double Forecast::seconds(double target_share) const {
  return seconds_without_targets_ + at_target_share(target_seconds_, target_share);
}

Forecast::Limit Forecast::limit() const {
  constexpr double kNearlyAll = 0.9;
  const auto busiest = std::max_element(full_.busy.begin(), full_.busy.end());
  const double share = share_of(*busiest, full_.seconds);
  return {share >= kNearlyAll ? name_of(static_cast<Resource>(busiest - full_.busy.begin()))
                              : "waiting",
          share};
}

namespace {

// Which resources the chain of tasks that wait for each other, from first to last, goes through.
std::string describe_chain(const Simulation& step) {
  std::string text;
  for (const Resource resource : kResources) {
    const double share = share_of(step.critical[static_cast<size_t>(resource)], step.seconds);
    if (share > 0)
      text +=
          fmt::format("{}{} {:.0f} %", text.empty() ? "" : ", ", name_of(resource), 100 * share);
  }
  return text;
}

std::string describe_limit(const Forecast& forecast) {
  const auto [name, busy_share] = forecast.limit();
  if (name != "waiting")
    return fmt::format("limit    {}: busy {:.0f} % of the step\n", name, 100 * busy_share);
  return fmt::format(
      "limit    waiting: none is busy more than {:.0f} % of the step; its longest chain is {}\n",
      100 * busy_share, describe_chain(forecast.step()));
}

}  // namespace

std::string describe_forecast(const Forecast& forecast, std::int64_t tokens, std::int64_t steps) {
  const Simulation& step = forecast.step();
  std::string text = fmt::format("         {:.2f} s foretold = {:.1f} tok/s  ", step.seconds,
                                 share_of(static_cast<double>(tokens), step.seconds));
  for (const Resource resource : kResources) {
    const double busy = step.busy[static_cast<size_t>(resource)];
    if (busy > 0) text += fmt::format(" {} {:.2f} s ·", name_of(resource), busy);
  }
  text += fmt::format(" cpu idle {:.2f} s\n", step.idle(Resource::cpu));
  if (steps > 0)
    text += fmt::format("         {} steps, {} without validation and saving\n", steps,
                        show_duration(static_cast<double>(steps) * step.seconds));
  return text + describe_limit(forecast);
}

nlohmann::json forecast_to_json(const Forecast& forecast, std::int64_t tokens, std::int64_t steps) {
  const Simulation& step = forecast.step();
  nlohmann::json busy, idle, critical;
  for (const Resource resource : kResources) {
    const auto r = static_cast<size_t>(resource);
    busy[name_of(resource)] = step.busy[r];
    idle[name_of(resource)] = step.idle(resource);
    critical[name_of(resource)] = step.critical[r];
  }
  return {{"step_seconds", step.seconds},
          {"step_seconds_without_targets", forecast.seconds(0)},
          {"tokens_per_second", share_of(static_cast<double>(tokens), step.seconds)},
          {"busy_seconds", busy},
          {"idle_seconds", idle},
          {"critical_seconds", critical},
          {"limit", forecast.limit().name},
          {"limit_busy_share", forecast.limit().busy_share},
          {"run_seconds", steps > 0 ? nlohmann::json(static_cast<double>(steps) * step.seconds)
                                    : nlohmann::json(nullptr)}};
}

std::string step_trace(const Program& program, const Plan& plan, const Simulation* simulation,
                       const std::vector<TaskTime>* measured) {
  std::vector<TraceEvent> events;
  const Timeline foretold{"foretold", simulation != nullptr ? &simulation->tasks : nullptr};
  const Timeline real{"measured", measured};
  add_events(program, plan, foretold, real, events);
  add_events(program, plan, real, foretold, events);
  return trace_json(events);
}

}  // namespace outsize
