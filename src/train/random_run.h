// Training steps of a model on random weights and tokens: what benchmarks time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/engine.h"
#include "train/foretell.h"

namespace outsize {

struct RandomRunOptions {
  std::string config;  // config.json, model folder or GGUF file
  std::string dtype = "bf16", optimizer = "adamw";
  std::int64_t batch = 4;         // rows per step
  std::int64_t length = 512;      // tokens per row
  std::int64_t microbatch = 0;    // rows at once, a divisor of batch; 0: as in training
  std::int64_t target_every = 1;  // one position in so many has a target
  double clip = 1;                // global gradient norm; 0: off
  std::int64_t memory = 0;        // bytes for the process, 0: no limit; the rest goes to disk
  // Where a folder for that is made, and removed at the end; empty: nothing goes to disk.
  std::string folder = ".";
  std::string store = "auto";  // its layout there: two_slots, ring, or by room
  std::string machine;         // file that the plan is for; empty: rates of a typical one
};

class RandomRun {
 public:
  // Plans, takes the memory and fills it. Throws InvalidArgument when microbatch does not divide
  // batch, and as TrainingEngine and open_model do.
  explicit RandomRun(const RandomRunOptions& options);
  // Of this model, whatever options.config says.
  RandomRun(const RandomRunOptions& options, std::unique_ptr<Model> model);
  ~RandomRun();
  RandomRun(const RandomRun&) = delete;
  RandomRun& operator=(const RandomRun&) = delete;

  // One update; the loss. The first touches fresh pages: leave it out of a measurement. Where the
  // plan carries, what the step before has left is in it, and what it leaves is not.
  double step();
  // From the next step on one position in so many has a target.
  void set_target_every(std::int64_t every);
  TrainingEngine& engine() { return *engine_; }
  DType dtype() const { return dtype_; }
  // Of a step, by the machine file; absent without one.
  const std::optional<Forecast>& forecast() const { return forecast_; }
  std::int64_t tokens() const { return options_.batch * options_.length; }

 private:
  void make_folder();
  void make_batches();
  Batch random_batch(std::int64_t rows, std::uint64_t stream) const;

  RandomRunOptions options_;
  DType dtype_;
  std::unique_ptr<Model> model_;
  std::string own_folder_;  // empty: nothing on disk
  std::unique_ptr<TrainingEngine> engine_;
  std::optional<Forecast> forecast_;
  int accumulation_ = 1;
  std::vector<Batch> batches_;
  std::int64_t targets_ = 0;
  std::int64_t steps_ = 0;
};

}  // namespace outsize
