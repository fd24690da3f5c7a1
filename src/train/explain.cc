#include "train/explain.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "train/show_plan.h"

namespace outsize {
namespace {

constexpr double kSlowSeconds = 4;  // of planning; there are up to four changes to try
constexpr std::int64_t kGiB = 1ll << 30;

Change more_memory(const Trials& trials) {
  RunConfig config = trials.config();
  *config.budget.memory += kGiB;
  return {"+1 GiB RAM", "budget.memory=" + whole_mebibytes(*config.budget.memory),
          trials.plan(config)};
}

Change faster_disk(const Trials& trials, Machine machine) {
  const auto twice = [](Rate& rate) { rate = {2 * rate.median, 2 * rate.p10, 2 * rate.p90}; };
  twice(machine.disk->read_gb_per_second);
  twice(machine.disk->write_gb_per_second);
  return {"a disk twice as fast", "", trials.plan(trials.config(), &machine)};
}

Change smaller_moments(const Trials& trials) {
  RunConfig config = trials.config();
  config.train.optimizer.moment_dtype = DType::bf16;
  return {"moments in bf16", "train.optimizer.moment_dtype=bf16", trials.plan(config)};
}

// Another run: each update as soon as its gradient is whole, not when the norm of all is known.
Change no_clipping(const Trials& trials) {
  RunConfig config = trials.config();
  config.train.clip = 0;
  return {"no clipping", "train.clip=0", trials.plan(config)};
}

bool has_f32_moments(const OptimizerConfig& optimizer) {
  const bool has_moments =
      optimizer.name == "adamw" || (optimizer.name == "sgd" && optimizer.momentum > 0);
  return has_moments && optimizer.moment_dtype == DType::f32;
}

std::string describe(const Change& change, const Trial& base) {
  const Trial& trial = change.trial;
  std::string text = fmt::format("{:<21}{:.2f} s per step ({:+.1f} %)", change.name, trial.seconds,
                                 100 * (trial.seconds / base.seconds - 1));
  if (base.store_bytes > 0 && trial.store_bytes == 0) return text + ", " + trial.way;
  if (trial.written_bytes != base.written_bytes || trial.read_bytes != base.read_bytes)
    text += fmt::format(", per step {} read, {} written",
                        show_bytes(static_cast<std::int64_t>(trial.read_bytes)),
                        show_bytes(static_cast<std::int64_t>(trial.written_bytes)));
  else if (trial.peak_bytes != base.peak_bytes)
    text += fmt::format(", {} of RAM", show_bytes(trial.peak_bytes));
  return text;
}

}  // namespace

Explanation explain(const Trials& trials, Trial base, double planning_seconds) {
  Explanation result{std::move(base), planning_seconds, planning_seconds > kSlowSeconds, {}};
  if (result.slow || !trials.timed()) return result;
  if (!result.base.all_in_ram()) result.changes.push_back(more_memory(trials));
  const Machine& machine = *trials.machine();
  if (machine.disk && result.base.read_bytes + result.base.written_bytes > 0)
    result.changes.push_back(faster_disk(trials, machine));
  if (has_f32_moments(trials.config().train.optimizer))
    result.changes.push_back(smaller_moments(trials));
  if (trials.config().train.clip > 0 && !result.base.all_in_ram())
    result.changes.push_back(no_clipping(trials));
  return result;
}

std::string describe(const Explanation& explanation) {
  std::string text;
  for (const Change& change : explanation.changes)
    text +=
        fmt::format("{:<9}{}\n", text.empty() ? "more" : "", describe(change, explanation.base));
  if (explanation.slow) text += "more     not tried: planning takes long\n";
  return text + fmt::format("planned  in {:.2f} s\n", explanation.planning_seconds);
}

nlohmann::json to_json(const Explanation& explanation) {
  nlohmann::json changes = nlohmann::json::array();
  for (const Change& change : explanation.changes) {
    const Trial& trial = change.trial;
    changes.push_back({{"change", change.name},
                       {"setting", change.setting},
                       {"step_seconds", trial.seconds},
                       {"share", trial.seconds / explanation.base.seconds},
                       {"plan", trial.way},
                       {"peak_bytes", trial.peak_bytes},
                       {"read_bytes_per_step", trial.read_bytes},
                       {"written_bytes_per_step", trial.written_bytes}});
  }
  return {{"planning_seconds", explanation.planning_seconds}, {"changes", changes}};
}

}  // namespace outsize
