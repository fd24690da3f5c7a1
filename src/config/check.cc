#include "config/check.h"

#include "config/load.h"
#include "config/options.h"
#include "config/value.h"
#include "core/error.h"

namespace outsize {
namespace {

class Checker {
 public:
  Checker(const RunConfig& config, const Origins& origins) : config_(config), origins_(origins) {}

  void check_all() const {
    check_required();
    check_length();
    check_batch();
    check_optimizer();
    check_schedule();
    check_meaning();
  }

 private:
  // Where an option was set, for the beginning of a message.
  std::string where(std::string_view path) const {
    const auto found = origins_.find(path);
    return found == origins_.end() ? std::string(path) : found->second.where;
  }

  void check_required() const {
    for (const Option& option : options()) {
      if (!is_required(option)) continue;
      const std::string text = text_of(option, config_);
      if (text == "\"\"" || text == "[]")
        fail(ErrorKind::InvalidArgument, "[{}] missing; expected {}; try --set {}=…", option.path,
             expectation(option), option.path);
    }
  }

  void check_length() const {
    const TrainConfig& train = config_.train;
    if (!train.steps && !train.epochs)
      fail(ErrorKind::InvalidArgument,
           "[train.steps] missing; expected train.steps or train.epochs; try --set "
           "train.steps=100");
    if (train.steps && train.epochs)
      fail(ErrorKind::InvalidArgument,
           "[{}] both lengths are given; got train.steps {} and train.epochs {}; expected one; "
           "try --set train.epochs=null",
           where("train.epochs"), *train.steps, *train.epochs);
  }

  void check_batch() const {
    const TrainConfig& train = config_.train;
    if (train.microbatch > 0 && train.global_batch % train.microbatch != 0)
      fail(ErrorKind::InvalidArgument,
           "[{}] train.microbatch does not divide train.global_batch; got {} and {}; expected a "
           "divisor; try {}",
           where("train.microbatch"), train.microbatch, train.global_batch, divisor_below());
  }

  // The largest microbatch that divides the global batch and is no larger than the one asked for.
  std::int64_t divisor_below() const {
    std::int64_t divisor = std::min(config_.train.microbatch, config_.train.global_batch);
    while (config_.train.global_batch % divisor != 0) --divisor;
    return divisor;
  }

  void check_schedule() const {
    const TrainConfig& train = config_.train;
    const ScheduleConfig& schedule = train.schedule;
    if (!train.steps) return;
    if (schedule.warmup_steps > *train.steps)
      fail(ErrorKind::InvalidArgument,
           "[{}] the warm-up is longer than the run; got {} of {} steps; expected at most "
           "train.steps",
           where("train.schedule.warmup_steps"), schedule.warmup_steps, *train.steps);
    const double steps = static_cast<double>(*train.steps);
    const double busy =
        static_cast<double>(schedule.warmup_steps) + schedule.decay_fraction * steps;
    if (schedule.name == "wsd" && busy > steps)
      fail(ErrorKind::InvalidArgument,
           "[{}] warm-up and decay overlap; got {} steps of warm-up and a decay_fraction of {} in "
           "{} steps; expected them to fit",
           where("train.schedule.decay_fraction"), schedule.warmup_steps, schedule.decay_fraction,
           *train.steps);
  }

  void check_optimizer() const {
    const OptimizerConfig& optimizer = config_.train.optimizer;
    if (optimizer.name == "sgd" && optimizer.nesterov && optimizer.momentum == 0)
      fail(ErrorKind::InvalidArgument,
           "[{}] nesterov without momentum; got momentum 0; expected momentum above 0",
           where("train.optimizer.nesterov"));
  }

  // An option that means nothing beside the choice in the same file is a misunderstanding. When
  // the choice was overridden by --set, the file's other options simply fall silent.
  void check_meaning() const {
    for (const Option& option : options()) {
      const auto set = origins_.find(option.path);
      if (set == origins_.end() || applies(option, config_)) continue;
      const std::size_t equals = option.only_with.find('=');
      const std::string_view selector = option.only_with.substr(0, equals);
      const auto chosen = origins_.find(selector);
      const bool overridden = chosen != origins_.end() && chosen->second.is_override;
      if (overridden && !set->second.is_override) continue;
      fail(ErrorKind::InvalidArgument,
           "[{}] {} has no meaning here; got {}: {}; expected {}; try removing it",
           set->second.where, option.path, selector, text_of(*find_option(selector), config_),
           option.only_with.substr(equals + 1));
    }
  }

  const RunConfig& config_;
  const Origins& origins_;
};

}  // namespace

void check_config(const RunConfig& config, const Origins& origins) {
  Checker(config, origins).check_all();
}

void check_config(const RunConfig& config) {
  check_config(config, {});
}

}  // namespace outsize
