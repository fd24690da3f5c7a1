// What to say when nothing fits (explain.h).
#include <fmt/format.h>

#include <array>
#include <functional>

#include "core/clock.h"
#include "core/error.h"
#include "train/explain.h"
#include "train/run_setup.h"
#include "train/show_plan.h"

namespace outsize {
namespace {

constexpr double kSlowSeconds = 10;  // to find one budget: changes are not tried then

struct Remedy {
  std::string setting;  // "train.microbatch=1"
  std::function<void(RunConfig&)> apply;
};

// One thing that may change, by how much; the smallest change first, and what it does to the run.
struct Ladder {
  const char* effect;
  std::vector<Remedy> rungs;
};

Ladder smaller_microbatches(const RunConfig& config) {
  Ladder ladder{"results change by rounding only", {}};
  for (std::int64_t rows = microbatch_rows(config) - 1; rows > 0; --rows)
    if (config.train.global_batch % rows == 0)
      ladder.rungs.push_back({fmt::format("train.microbatch={}", rows),
                              [rows](RunConfig& c) { c.train.microbatch = rows; }});
  return ladder;
}

Ladder smaller_moments(const RunConfig& config) {
  Ladder ladder{"moments lose accuracy", {}};
  const OptimizerConfig& optimizer = config.train.optimizer;
  if (optimizer.name != "adafactor" && optimizer.moment_dtype == DType::f32)
    ladder.rungs.push_back({"train.optimizer.moment_dtype=bf16",
                            [](RunConfig& c) { c.train.optimizer.moment_dtype = DType::bf16; }});
  return ladder;
}

Ladder smaller_products(const RunConfig& config) {
  Ladder ladder{"bf16 products, f32 masters", {}};
  if (config.train.dtype == DType::f32)
    ladder.rungs.push_back({"train.dtype=bf16", [](RunConfig& c) { c.train.dtype = DType::bf16; }});
  return ladder;
}

// Adafactor has no moments whose dtype could be chosen.
Ladder smaller_optimizer(const RunConfig& config) {
  Ladder ladder{"another optimizer, almost without state", {}};
  const OptimizerConfig& optimizer = config.train.optimizer;
  if (optimizer.name != "adafactor" && optimizer.moment_dtype == DType::f32)
    ladder.rungs.push_back({"train.optimizer.name=adafactor",
                            [](RunConfig& c) { c.train.optimizer.name = "adafactor"; }});
  return ladder;
}

// The microbatch stays what it is: by default it would grow as rows get shorter.
Ladder shorter_rows(const RunConfig& config) {
  constexpr std::int64_t kShortest = 16;
  Ladder ladder{"shorter rows", {}};
  const std::int64_t rows = microbatch_rows(config);
  const std::string pinned =
      config.train.microbatch == 0 ? fmt::format(" train.microbatch={}", rows) : "";
  for (std::int64_t length = config.data.sequence_length / 2; length >= kShortest; length /= 2)
    ladder.rungs.push_back(
        {fmt::format("data.sequence_length={}{}", length, pinned), [length, rows](RunConfig& c) {
           c.data.sequence_length = length;
           c.train.microbatch = rows;
         }});
  return ladder;
}

// The gentlest first.
constexpr std::array kLadders = {smaller_microbatches, smaller_moments, smaller_products,
                                 smaller_optimizer, shorter_rows};

struct Found {
  std::string settings, effect;
  Trial trial;
};

RunConfig changed(RunConfig config, const Remedy& remedy) {
  remedy.apply(config);
  return config;
}

// The smallest change of the ladder that fits, on top of a configuration.
std::optional<Found> climb(const Trials& trials, const RunConfig& config, const Ladder& ladder) {
  if (ladder.rungs.empty() || !trials.plan(changed(config, ladder.rungs.back())).fits)
    return std::nullopt;
  for (const Remedy& remedy : ladder.rungs)
    if (const Trial trial = trials.plan(changed(config, remedy)); trial.fits)
      return Found{remedy.setting, ladder.effect, trial};
  return std::nullopt;
}

std::optional<Found> gentlest(const Trials& trials) {
  for (const auto ladder : kLadders)
    if (auto found = climb(trials, trials.config(), ladder(trials.config()))) return found;
  // None alone: one after the other.
  RunConfig config = trials.config();
  std::string before;
  for (const auto make : kLadders) {
    const Ladder ladder = make(config);
    if (auto found = climb(trials, config, ladder)) {
      found->settings = before + found->settings;
      return found;
    }
    if (ladder.rungs.empty()) continue;
    ladder.rungs.back().apply(config);
    before += ladder.rungs.back().setting + " ";
  }
  return std::nullopt;
}

}  // namespace

void refuse(const Trials& trials) {
  const std::int64_t memory = trials.config().budget.memory.value();
  const double start = seconds_now();
  const Trial smallest = trials.smallest();
  std::string advice;
  const bool slow = seconds_now() - start > kSlowSeconds;
  if (slow) {
    advice = ", or a smaller train.microbatch or data.sequence_length";
  } else if (const auto found = gentlest(trials)) {
    advice =
        fmt::format(", or {} within {} ({}", found->settings, show_bytes(memory), found->effect);
    if (trials.timed()) advice += fmt::format("; {:.2f} s per step", found->trial.seconds);
    advice += ")";
  } else {
    advice = fmt::format("; no smaller microbatch, row, dtype or optimizer state fits {}",
                         show_bytes(memory));
  }
  fail(ErrorKind::OutOfMemory,
       "[plan] the run does not fit its memory budget; got {}; expected at least {}, the smallest "
       "budget that plans; try budget.memory={}{}",
       show_bytes(memory), show_bytes(smallest.memory_bytes),
       whole_mebibytes(smallest.memory_bytes), advice);
}

}  // namespace outsize
