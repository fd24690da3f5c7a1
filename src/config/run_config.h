// What a run is asked to do: plain values, filled and checked by config/load.h from YAML and --set.
// The option table (config/options.h) is the only other place that names these fields; a new field
// gets a row there, and the parser, the help, the reference page and the resolved file follow.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/dtype.h"

namespace outsize {

enum class Init { pretrained, random };
// What happens to a sample longer than the sequence length. Nothing is ever cut without being
// asked.
enum class LongSamples { error, truncate, split, drop };

struct DataConfig {
  std::vector<std::string> train;
  std::vector<std::string> validation;
  std::int64_t sequence_length = 0;  // tokens
  bool pack = false;
  bool shuffle = false;
  LongSamples long_samples = LongSamples::error;
};

struct OptimizerConfig {
  std::string name;  // adamw, sgd or adafactor
  double lr = 0;
  std::array<double, 2> betas{};
  double eps = 0;
  double weight_decay = 0;
  double momentum = 0;
  bool nesterov = false;
  double decay_rate = 0;
  double clip_threshold = 0;
  DType moment_dtype = DType::f32;  // f32 or bf16
};

struct ScheduleConfig {
  std::string name;  // constant, linear, cosine or wsd
  std::int64_t warmup_steps = 0;
  double min_lr_ratio = 0;
  double decay_fraction = 0;
};

struct TrainConfig {
  std::optional<std::int64_t> steps;  // exactly one of steps and epochs is set
  std::optional<double> epochs;
  std::int64_t global_batch = 0;  // samples or packed rows per update
  std::int64_t microbatch = 0;    // rows; 0: from model and sequence length alone
  DType dtype = DType::f32;       // f32 or bf16
  std::int64_t seed = 0;
  double clip = 0;  // global gradient norm; 0: off
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  std::int64_t save_every = 0;  // steps; 0: no such interval
  double save_minutes = 0;      // 0: no such interval
  std::int64_t keep_checkpoints = 0;
  std::int64_t eval_every = 0;  // steps; 0: only at the end
  std::int64_t log_every = 0;   // steps between plain progress lines; 0: by time
};

// How the durable state lies on disk.
enum class StoreChoice { automatic, two_slots, ring };

struct BudgetConfig {
  std::optional<std::int64_t> memory;  // bytes; absent: the memory free when the run is planned
  std::optional<std::string> disk;     // folder
  StoreChoice store = StoreChoice::automatic;
  std::optional<std::int64_t> max_writes;  // bytes of the whole run; absent: no bound
};

struct RunConfig {
  std::string model;
  Init init = Init::pretrained;
  DataConfig data;
  TrainConfig train;
  BudgetConfig budget;
  std::string run;
  std::string machine;  // file with this computer's rates; may be missing
  int threads = 0;      // 0: every core this process may use
};

}  // namespace outsize
