#include "train/run_planning.h"

#include <algorithm>

#include "core/error.h"
#include "train/explain.h"

namespace outsize {
namespace {

// A store keeps the layout it was made with.
std::optional<StoreScheme> store_scheme(const RunConfig& config) {
  const auto found = DurableState::scheme_of(config.run);
  if (config.budget.store == StoreChoice::automatic) return found;
  const StoreScheme wanted =
      config.budget.store == StoreChoice::ring ? StoreScheme::ring : StoreScheme::two_slots;
  if (found.value_or(wanted) != wanted)
    fail(ErrorKind::InvalidArgument,
         "[run] budget.store: the run in {} has a store of the other layout, and it stays so; try "
         "budget.store=auto",
         config.run);
  return wanted;
}

}  // namespace

PlanContext plan_context(const RunConfig& config, std::int64_t steps) {
  const TrainingShape shape = training_shape(config);
  return {shape.rows,  shape.accumulation,          shape.sequence_length,
          shape.dtype, config.train.optimizer.name, arena_budget(config.budget.memory),
          steps};
}

PlanningOptions planning_options(const RunConfig& config, const MachineChoice& choice) {
  const bool durable = DurableState::scheme_of(config.run).has_value();
  PlanningOptions options{.machine = choice.machine ? &*choice.machine : nullptr,
                          .may_use_disk = true,
                          .durable = durable,
                          .clips = config.train.clip > 0,
                          .store = store_scheme(config)};
  constexpr std::int64_t kBeside = 256 << 20;  // metrics, index of the data, copies of the model's
  if (!durable)
    options.disk_bytes = std::max<std::int64_t>(
        0, free_disk_bytes(config.budget.disk.value_or(config.run)) - kBeside);
  return options;
}

DiskUse checked_disk_use(const RunConfig& config, const Model& model, const TrainingEngine& engine,
                         const PlanningOptions& planned, std::int64_t steps,
                         const std::optional<Forecast>& forecast) {
  std::optional<double> step_seconds;
  if (forecast) step_seconds = forecast->step().seconds;
  DiskUse use = disk_use(config, engine, steps, step_seconds);
  require_room(use, config, engine.durable());
  std::optional<std::int64_t> resident_budget;
  if (config.budget.max_writes && use.writes.total() > *config.budget.max_writes &&
      engine.durable() && !planned.durable) {
    const TrainingEngine resident(model, training_shape(config),
                                  optimizer_options(config.train.optimizer), 0);
    resident_budget = resident.arena_bytes() + kProcessBytes;
  }
  require_writes(use, config, resident_budget);
  return use;
}

void plan_engine(const Model& model, const RunConfig& config, PlanningOptions& planning,
                 std::optional<TrainingEngine>& engine) {
  try {
    planning.budget_bytes = arena_budget(config.budget.memory);
    engine.emplace(model, training_shape(config), optimizer_options(config.train.optimizer),
                   planning);
  } catch (const DiskTooSmall&) {
    throw;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::OutOfMemory) throw;
    PlanningOptions any_disk = planning;
    any_disk.disk_bytes.reset();
    const Trials trials(model, config, any_disk);
    if (trials.plan(trials.config()).fits) throw;  // it is the disk that is too small
    refuse(trials);
  }
}

}  // namespace outsize
