#include "train/run_setup.h"

#include <algorithm>

#include "core/error.h"
#include "machine/file_system.h"
#include "machine/host.h"
#include "machine/machine_file.h"
#include "models/model.h"
#include "train/show_plan.h"

namespace outsize {

DataOptions data_options(const DataConfig& data, const std::vector<std::string>& files,
                         std::int64_t seed) {
  DataOptions options;
  options.files.assign(files.begin(), files.end());
  options.sequence_length = data.sequence_length;
  options.pack = data.pack;
  options.shuffle = data.shuffle;
  options.seed = static_cast<std::uint64_t>(seed);
  switch (data.long_samples) {
    case LongSamples::error:
      options.long_samples = DataOptions::LongSamples::error;
      break;
    case LongSamples::truncate:
      options.long_samples = DataOptions::LongSamples::truncate;
      break;
    case LongSamples::split:
      options.long_samples = DataOptions::LongSamples::split;
      break;
    case LongSamples::drop:
      options.long_samples = DataOptions::LongSamples::drop;
      break;
  }
  return options;
}

OptimizerOptions optimizer_options(const OptimizerConfig& o) {
  OptimizerOptions options;
  options.name = o.name;
  options.weight_decay = o.weight_decay;
  options.beta1 = o.betas[0];
  options.beta2 = o.betas[1];
  options.eps = o.eps;
  options.momentum = o.momentum;
  options.nesterov = o.nesterov;
  options.decay_rate = o.decay_rate;
  options.clip_threshold = o.clip_threshold;
  options.moment_dtype = o.moment_dtype;
  return options;
}

ScheduleOptions schedule_options(const ScheduleConfig& s) {
  ScheduleOptions options;
  options.name = s.name;
  options.warmup_steps = s.warmup_steps;
  options.min_lr_ratio = s.min_lr_ratio;
  options.decay_fraction = s.decay_fraction;
  return options;
}

std::int64_t microbatch_rows(const RunConfig& config) {
  return config.train.microbatch > 0
             ? config.train.microbatch
             : default_microbatch(config.data.sequence_length, config.train.global_batch);
}

TrainingShape training_shape(const RunConfig& config) {
  const std::int64_t rows = microbatch_rows(config);
  return {.rows = rows,
          .sequence_length = config.data.sequence_length,
          .accumulation = static_cast<int>(config.train.global_batch / rows),
          .dtype = config.train.dtype,
          .with_evaluation = !config.data.validation.empty()};
}

std::int64_t arena_budget(std::optional<std::int64_t> memory) {
  if (!memory) {
    memory = meminfo_bytes("MemAvailable");
    if (const auto limit = control_group_limit()) memory = std::min(*memory, *limit);
  }
  if (*memory <= kProcessBytes)
    fail(ErrorKind::OutOfMemory,
         "[plan] the memory budget is too small for the process itself; got {}; expected more than "
         "{}; try a larger budget",
         show_bytes(*memory), show_bytes(kProcessBytes));
  return *memory - kProcessBytes;
}

std::int64_t free_disk_bytes(const std::string& folder) {
  return file_system_of(nearest_existing(folder)).free_bytes;
}

void plan_for(const std::string& machine_path, RunConfig& config) {
  const Machine machine = read_machine(machine_path);
  config.machine = machine_path;
  if (!config.budget.memory) config.budget.memory = machine.usable_ram_bytes();
}

}  // namespace outsize
