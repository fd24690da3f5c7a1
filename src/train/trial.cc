#include "train/trial.h"

#include <algorithm>

#include "config/value.h"
#include "core/error.h"
#include "plan/planner.h"
#include "train/run_setup.h"
#include "train/show_plan.h"

namespace outsize {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

std::int64_t rounded_up(std::int64_t bytes) {
  return (bytes + kMiB - 1) / kMiB * kMiB;
}

bool recomputes(const PlanKnobs& knobs) {
  return std::any_of(knobs.recompute.begin(), knobs.recompute.end(),
                     [](Recompute call) { return call != Recompute::nothing; });
}

}  // namespace

Traffic traffic_of(const Plan& plan) {
  Traffic traffic;
  for (const Task& task : plan.tasks) {
    if (task.kind == TaskKind::read) traffic.read += task.bytes;
    if (task.kind == TaskKind::write) traffic.written += task.bytes;
  }
  return traffic;
}

Trial trial_of(const TrainingEngine& engine, std::int64_t memory_bytes) {
  const Traffic traffic = traffic_of(engine.plan());
  const Candidate& best = engine.candidates().front();
  return {.fits = true,
          .memory_bytes = memory_bytes,
          .peak_bytes = engine.arena_bytes() + kProcessBytes,
          .way = best.name,
          .seconds = best.seconds,
          .read_bytes = traffic.read,
          .written_bytes = traffic.written,
          .store_bytes = engine.plan().store_bytes,
          .recomputes = recomputes(engine.knobs())};
}

std::string whole_mebibytes(std::int64_t bytes) {
  return format_size(rounded_up(bytes));
}

Trials::Trials(const Model& model, const RunConfig& config, const PlanningOptions& base)
    : model_(model), config_(config), base_(base) {
  if (!config_.budget.memory) config_.budget.memory = base.budget_bytes + kProcessBytes;
}

Trial Trials::plan(const RunConfig& config, const Machine* machine) const {
  PlanningOptions options = base_;
  options.clips = config.train.clip > 0;
  Trial trial{.memory_bytes = config.budget.memory.value()};
  options.budget_bytes = trial.memory_bytes - kProcessBytes;
  if (options.budget_bytes <= 0) {
    trial.peak_bytes = kProcessBytes + kMiB;
    return trial;
  }
  if (machine != nullptr) options.machine = machine;
  try {
    const TrainingEngine engine(model_, training_shape(config),
                                optimizer_options(config.train.optimizer), options);
    return trial_of(engine, trial.memory_bytes);
  } catch (const OverBudget& error) {
    trial.peak_bytes = error.arena_bytes() + kProcessBytes;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::OutOfMemory) throw;
    trial.peak_bytes = trial.memory_bytes + trial.memory_bytes / 4;  // of a disk that is too small
  }
  return trial;
}

Trial Trials::plan_with(std::int64_t memory_bytes) const {
  RunConfig config = config_;
  config.budget.memory = memory_bytes;
  return plan(config);
}

// What a plan that did not fit would have taken is the next budget to try: buffers for what moves
// grow with it, but much more slowly.
Trial Trials::smallest() const {
  constexpr std::int64_t kSteps = 100;
  Trial trial = plan_with(kProcessBytes + kMiB);
  while (!trial.fits) {
    const std::int64_t arena = trial.memory_bytes - kProcessBytes;
    trial =
        plan_with(rounded_up(std::max(trial.peak_bytes, trial.memory_bytes + arena / kSteps + 1)));
  }
  return trial;
}

Trial Trials::resident() const {
  constexpr std::int64_t kUnlimited = std::int64_t{1} << 60;
  Trial trial = plan_with(kUnlimited);
  trial.memory_bytes = rounded_up(trial.peak_bytes);
  return trial;
}

}  // namespace outsize
