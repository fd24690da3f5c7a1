// `outsize bench step`: times training steps on random weights and tokens beside the GEMM rate.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "config/value.h"
#include "core/error.h"
#include "core/file.h"
#include "core/parallel.h"
#include "costs/cost_model.h"
#include "costs/product_rate.h"
#include "machine/disk_rate.h"
#include "machine/gemm_rate.h"
#include "machine/machine_file.h"
#include "machine/ram_rate.h"
#include "report/process_memory.h"
#include "train/op_costs.h"
#include "train/op_profile.h"
#include "train/random_run.h"
#include "train/show_plan.h"

namespace outsize {
namespace {

constexpr double kProductSeconds = 0.5;

struct BenchOptions {
  RandomRunOptions run;
  int steps = 5;
  std::string machine = "machine.json", memory, trace;
  bool json = false, profile = false, floors = false;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// The rates that a step is held against. Measured after the peak of memory has been read.
FloorRates floor_rates(const BenchOptions& options, double gemm_gflops) {
  const RamRates ram = measure_ram(0.2);
  return {gemm_gflops,
          std::max({ram.read_gb_per_second.median, ram.copy_gb_per_second.median,
                    ram.triad_gb_per_second.median}),
          1.0 / static_cast<double>(options.run.target_every)};
}

// What the step would take by its FLOPs or by its traffic alone, with products, reads and writes
// at the rates that they reach when all three go on at once.
nlohmann::json floors(const BenchOptions& options, RandomRun& run, const nlohmann::json& step) {
  constexpr double kSeconds = 3;
  const auto products = [&](double seconds) { return measure_gemm_gflops(run.dtype(), seconds); };
  const RatesTogether rates = measure_together(options.run.folder, products, kSeconds);
  const auto& streams = step["streams"];
  const double read = streams["read_bytes_per_step"].get<double>() / 1e9;
  const double written = streams["written_bytes_per_step"].get<double>() / 1e9;
  return {{"gemm_gflops", rates.gflops},
          {"read_gb_per_second", rates.read_gb_per_second},
          {"write_gb_per_second", rates.write_gb_per_second},
          {"compute_seconds", run.engine().model_flops() / rates.gflops / 1e9},
          {"transfer_seconds",
           std::max(read / rates.read_gb_per_second, written / rates.write_gb_per_second)}};
}

void bench_step(const BenchOptions& options) {
  RandomRunOptions how = options.run;
  if (!options.memory.empty()) {
    const auto bytes = parse_size(options.memory);
    if (!bytes)
      fail(ErrorKind::InvalidArgument, "[--memory] got '{}'; expected a size such as 4GiB",
           options.memory);
    how.memory = *bytes;
  }
  RandomRun run(how);
  TrainingEngine& engine = run.engine();
  std::vector<double> seconds, gflops;
  double loss = 0;
  for (int step = 0; step <= options.steps; ++step) {
    gflops.push_back(measure_gemm_gflops(run.dtype(), 0.3));
    const auto start = std::chrono::steady_clock::now();
    loss = run.step();
    const double elapsed =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (step > 0) seconds.push_back(elapsed);  // the first touches fresh pages
  }
  engine.settle();
  const double step_seconds = median(seconds), rate = median(gflops);
  const double tokens = static_cast<double>(run.tokens());
  const double model_gflops = engine.model_flops() / step_seconds / 1e9;
  nlohmann::json result = {
      {"tokens_per_second", tokens / step_seconds},
      {"step_seconds", step_seconds},
      {"step_seconds_min", *std::min_element(seconds.begin(), seconds.end())},
      {"step_seconds_max", *std::max_element(seconds.begin(), seconds.end())},
      {"gemm_gflops", rate},
      {"model_gflops", model_gflops},
      {"mfu", model_gflops / rate},
      {"loss", loss},
      {"op_seconds", seconds_by_op(engine.executor())},  // of the last step
      {"threads", thread_count()},
      {"arena_bytes", engine.arena_bytes()},
      {"streams", streams_to_json(engine)},
      {"predicted_seconds", run.forecast() ? nlohmann::json(run.forecast()->seconds(
                                                 1.0 / static_cast<double>(how.target_every)))
                                           : nlohmann::json(nullptr)},
      {"peak_rss_bytes", peak_rss_bytes()}};
  std::optional<FloorRates> rates;
  if (options.profile) {
    rates = floor_rates(options, rate);
    result["product_gflops"] = ProductRate(run.dtype()).gflops(kProductSeconds);
  }
  if (options.floors) result["floors"] = floors(options, run, result);
  if (options.json) {
    if (rates) {
      result["ram_gb_per_second"] = rates->ram_gb_per_second;
      result["profile"] = profile_to_json(profile_step(engine.executor(), *rates));
    }
    fmt::print("{}\n", result.dump());
  } else {
    fmt::print(
        "{:.1f} tok/s, {:.3f} s per step ({:.3f} to {:.3f}), {:.2f} of {:.0f} GFLOP/s, peak {:.2f} "
        "GiB\n",
        tokens / step_seconds, step_seconds, result["step_seconds_min"].get<double>(),
        result["step_seconds_max"].get<double>(), model_gflops / rate, rate,
        result["peak_rss_bytes"].get<double>() / (1 << 30));
    if (options.floors)
      fmt::print(
          "With products and disk at work together it owes {:.3f} s to products, {:.3f} s to "
          "the disk.\n",
          result["floors"]["compute_seconds"].get<double>(),
          result["floors"]["transfer_seconds"].get<double>());
    if (rates)
      fmt::print("\n{}\nProducts as steps run them, 2,048 a side: {:.0f} GFLOP/s.\n",
                 describe_step(engine.executor(), *rates), result["product_gflops"].get<double>());
  }
  if (!options.trace.empty())
    write_text_atomically(
        options.trace,
        step_trace(engine.program(), engine.plan(),
                   run.forecast() ? &run.forecast()->step() : nullptr, &engine.executor().times()));
}

std::shared_ptr<BenchOptions> add_bench_options(CLI::App& command) {
  auto options = std::make_shared<BenchOptions>();
  RandomRunOptions& run = options->run;
  command.add_option("--config", run.config, "config.json, model folder or GGUF file")->required();
  command.add_option("--batch", run.batch, "Rows per step")->check(CLI::PositiveNumber);
  command.add_option("--seq", run.length, "Tokens per row")->check(CLI::PositiveNumber);
  command.add_option("--microbatch", run.microbatch, "Rows at once; default as in training");
  command.add_option("--dtype", run.dtype, "f32 or bf16");
  command.add_option("--optimizer", run.optimizer, "adamw, sgd or adafactor");
  command.add_option("--clip", run.clip, "Global gradient norm; 0: off")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--steps", options->steps, "Steps measured, after one more")
      ->check(CLI::PositiveNumber);
  command.add_option("--target-every", run.target_every, "One position in so many has a target")
      ->check(CLI::PositiveNumber);
  command.add_flag("--json", options->json, "One JSON object");
  return options;
}

void bench_ops(const BenchOptions& options) {
  RandomRun run(options.run);
  OpCostTable table;
  for (int step = 0; step <= options.steps; ++step) {
    run.step();
    if (step > 0) table.add(run.engine().executor());
  }
  const CostModel costs(read_machine(options.machine));
  const auto rows = table.rows([&](const OpCall& call) { return costs.seconds(call); });
  fmt::print("{}", options.json ? op_costs_json(rows).dump() + "\n" : describe(rows));
}

}  // namespace

void add_bench_command(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "Measure speed");
  bench->require_subcommand(1);
  CLI::App* step =
      bench->add_subcommand("step", "Time training steps on random weights and tokens");
  auto options = add_bench_options(*step);
  step->add_option("--memory", options->memory,
                   "RAM for the process (4GiB); the rest goes to disk");
  step->add_option("--folder", options->run.folder, "Where what goes to disk lies meanwhile");
  step->add_flag(
          "--floors", options->floors,
          "Measure products and the folder's disk together, and what the step owes to either")
      ->needs("--folder");
  step->add_option("--store", options->run.store, "Layout of the state on disk; auto: by room")
      ->check(CLI::IsMember({"auto", "two_slots", "ring"}));
  step->add_option("--machine", options->run.machine, "Machine file to plan and foretell with");
  step->add_option("--trace", options->trace, "Timeline of the last step, for Perfetto");
  step->add_flag("--profile", options->profile, "Time of each op beside its floor");
  step->callback([options] { bench_step(*options); });
  CLI::App* ops = bench->add_subcommand("ops", "Time every op of a step, beside what is foretold");
  auto ops_options = add_bench_options(*ops);
  ops->add_option("--machine", ops_options->machine, "Machine file; `outsize profile` writes it");
  ops->callback([ops_options] { bench_ops(*ops_options); });
  add_bench_generate(*bench);
}

}  // namespace outsize
