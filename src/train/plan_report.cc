#include "train/plan_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "core/clock.h"
#include "core/error.h"
#include "core/file.h"
#include "core/parallel.h"
#include "train/explain.h"
#include "train/foretell.h"
#include "train/memory_curve.h"
#include "train/model_source.h"
#include "train/run_planning.h"

namespace outsize {
std::string show_plan(const RunConfig& config, bool json, const std::string& trace_path) {
  if (config.threads > 0) set_thread_count(config.threads);
  const ModelSource source(config.model);
  const MachineChoice choice = choose_machine(config.machine);
  PlanningOptions planning = planning_options(config, choice);
  std::optional<TrainingEngine> engine;
  const double start = seconds_now();
  plan_engine(source.model(), config, planning, engine);
  const double planning_seconds = seconds_now() - start;
  std::optional<Forecast> forecast;
  if (choice.machine) forecast.emplace(engine->plan(), *choice.machine);
  const std::int64_t steps = config.train.steps.value_or(0);
  const DiskUse disk = checked_disk_use(config, source.model(), *engine, planning, steps, forecast);
  PlanContext context = plan_context(config, steps);
  context.disk = &disk;
  context.forecast = forecast ? &*forecast : nullptr;
  context.machine = planning.machine;
  context.machine_note = choice.note;
  if (!trace_path.empty()) {
    if (!forecast)
      fail(ErrorKind::InvalidArgument, "[plan] a trace needs foretold times; {}", choice.note);
    write_text_atomically(
        trace_path, step_trace(engine->program(), engine->plan(), &forecast->step(), nullptr));
  }
  const Trials trials(source.model(), config, planning);
  const Explanation why =
      explain(trials, trial_of(*engine, trials.config().budget.memory.value()), planning_seconds);
  if (!json) return describe_plan(source.model(), *engine, context) + describe(why);
  nlohmann::json result = plan_to_json(source.model(), *engine, context);
  result["explanation"] = to_json(why);
  return result.dump() + "\n";
}

std::string show_memory_curve(const RunConfig& config, bool json, const std::string& svg_path,
                              const std::function<void(const std::string&)>& report) {
  if (config.threads > 0) set_thread_count(config.threads);
  const ModelSource source(config.model);
  const MachineChoice choice = choose_machine(config.machine);
  const Trials trials(source.model(), config, planning_options(config, choice));
  const MemoryCurve curve = memory_curve(trials, {.report = report});
  const TrainingShape shape = training_shape(config);
  if (!svg_path.empty())
    write_text_atomically(
        svg_path,
        to_svg(curve, fmt::format("{}, {}, {}, {} x {} rows of {} tokens per step", config.model,
                                  config.train.optimizer.name, name_of(shape.dtype),
                                  shape.accumulation, shape.rows, shape.sequence_length)));
  return json ? to_json(curve).dump() + "\n" : describe(curve);
}

}  // namespace outsize
