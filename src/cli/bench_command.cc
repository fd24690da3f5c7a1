// `outsize bench step`: times training steps on random weights and tokens beside the GEMM rate.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "machine/gemm_rate.h"
#include "models/model.h"
#include "report/process_memory.h"
#include "train/engine.h"
#include "train/op_profile.h"

namespace outsize {
namespace {

struct BenchOptions {
  std::string config, dtype = "bf16", optimizer = "adamw";
  std::int64_t batch = 4, length = 512, microbatch = 0, target_every = 1;
  int steps = 5;
  bool json = false, profile = false;
};

Batch random_batch(const BenchOptions& options, std::int64_t rows, std::int64_t vocabulary,
                   std::uint64_t stream) {
  const Rng rng(1, stream);
  Batch batch;
  for (std::int64_t i = 0; i < rows * options.length; ++i) {
    const std::int64_t row_start = i / options.length * options.length;
    batch.tokens.push_back(static_cast<std::int32_t>(
        rng.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(vocabulary))));
    batch.positions.push_back(static_cast<std::int32_t>(i - row_start));
    batch.document_start.push_back(static_cast<std::int32_t>(row_start));
    const bool has_target = i % options.target_every == 0;
    batch.targets.push_back(has_target ? static_cast<std::int32_t>(
                                             rng.below(static_cast<std::uint64_t>(i) + (1ull << 40),
                                                       static_cast<std::uint64_t>(vocabulary)))
                                       : -1);
    batch.target_tokens += has_target;
  }
  batch.real_tokens = rows * options.length;
  return batch;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void bench_step(const BenchOptions& options) {
  const auto model = open_model(options.config);
  const DType dtype = parse_dtype(options.dtype);
  const std::int64_t rows = options.microbatch > 0
                                ? options.microbatch
                                : default_microbatch(options.length, options.batch);
  if (rows < 1 || options.batch % rows != 0)
    throw CLI::ValidationError("--microbatch", "must divide --batch");
  const int accumulation = static_cast<int>(options.batch / rows);
  TrainingEngine engine(*model, {rows, options.length, accumulation, dtype, false},
                        {.name = options.optimizer}, 0);
  engine.allocate();
  engine.randomise(1);
  std::vector<Batch> batches;
  for (int m = 0; m < accumulation; ++m)
    batches.push_back(
        random_batch(options, rows, model->info().vocabulary, static_cast<std::uint64_t>(m)));
  std::int64_t targets = 0;
  for (const Batch& batch : batches) targets += batch.target_tokens;
  std::vector<double> seconds, gflops;
  double loss = 0;
  for (int step = 0; step <= options.steps; ++step) {
    gflops.push_back(measure_gemm_gflops(dtype, 0.3));
    const auto start = std::chrono::steady_clock::now();
    loss = engine.step(batches, targets, {.step = step + 1, .lr = 1e-4, .clip = 1.0});
    const double elapsed =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (step > 0) seconds.push_back(elapsed);  // the first touches fresh pages
  }
  const double step_seconds = median(seconds), rate = median(gflops);
  const double tokens = static_cast<double>(options.batch * options.length);
  const double model_gflops = engine.model_flops() / step_seconds / 1e9;
  const nlohmann::json result = {
      {"tokens_per_second", tokens / step_seconds},
      {"step_seconds", step_seconds},
      {"step_seconds_min", *std::min_element(seconds.begin(), seconds.end())},
      {"step_seconds_max", *std::max_element(seconds.begin(), seconds.end())},
      {"gemm_gflops", rate},
      {"model_gflops", model_gflops},
      {"mfu", model_gflops / rate},
      {"loss", loss},
      {"op_seconds", engine.executor().op_seconds()},  // of the last step
      {"threads", thread_count()},
      {"arena_bytes", engine.arena_bytes()},
      {"peak_rss_bytes", peak_rss_bytes()}};
  if (options.json) {
    fmt::print("{}\n", result.dump());
  } else {
    fmt::print(
        "{:.1f} tok/s, {:.3f} s per step ({:.3f} to {:.3f}), {:.2f} of {:.0f} GFLOP/s, peak {:.2f} "
        "GiB\n",
        tokens / step_seconds, step_seconds, seconds.front(), seconds.back(), model_gflops / rate,
        rate, static_cast<double>(peak_rss_bytes()) / (1 << 30));
  }
  if (options.profile) fmt::print("{}", describe_step(engine.executor(), rate));
}

}  // namespace

void add_bench_command(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "Measure speed");
  bench->require_subcommand(1);
  CLI::App* step =
      bench->add_subcommand("step", "Time training steps on random weights and tokens");
  auto options = std::make_shared<BenchOptions>();
  step->add_option("--config", options->config, "config.json, model folder or GGUF file")
      ->required();
  step->add_option("--batch", options->batch, "Rows per step")->check(CLI::PositiveNumber);
  step->add_option("--seq", options->length, "Tokens per row")->check(CLI::PositiveNumber);
  step->add_option("--microbatch", options->microbatch, "Rows at once; default as in training");
  step->add_option("--dtype", options->dtype, "f32 or bf16");
  step->add_option("--optimizer", options->optimizer, "adamw, sgd or adafactor");
  step->add_option("--steps", options->steps, "Steps measured, after one more")
      ->check(CLI::PositiveNumber);
  step->add_option("--target-every", options->target_every, "One position in so many has a target")
      ->check(CLI::PositiveNumber);
  step->add_flag("--json", options->json, "One JSON object");
  step->add_flag("--profile", options->profile, "Time of each task kind and segment");
  step->callback([options] { bench_step(*options); });
  add_bench_generate(*bench);
}

}  // namespace outsize
