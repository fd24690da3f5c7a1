// `outsize bench generate`: times prompt processing and decoding beside the rates that bound them,
// the GEMM's and the memory's.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "machine/gemm_rate.h"
#include "machine/ram_rate.h"
#include "ops/cached_attention/cached_attention.h"
#include "ops/linear/linear.h"
#include "report/process_memory.h"
#include "train/generator.h"
#include "train/model_source.h"
#include "train/op_profile.h"

namespace outsize {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kRateSeconds = 0.2;

struct Options {
  std::string model, dtype = "bf16";
  std::int64_t prompt = 512, tokens = 64;
  int rounds = 5;
  bool json = false, profile = false;
  ResidenceOptions residence;
};

Program generation_program(const Model& model, DType dtype, std::int64_t tokens) {
  return model.program({.mode = BuildOptions::Mode::generation,
                        .tokens = tokens,
                        .row_length = tokens,
                        .dtype = dtype,
                        .cache_capacity = tokens,
                        .logit_rows = 1});
}

// Of all products with weights, the head's for the last token alone, and of causal attention.
double prompt_flops(const Model& model, DType dtype, std::int64_t tokens) {
  const Program program = generation_program(model, dtype, tokens);
  std::vector<double> of_segment;
  for (const Segment& segment : program.segments) {
    double flops = 0;
    for (const Node& node : segment.graph.nodes())
      if (node.op == &linear_op() || node.op == &cached_attention_op())
        flops += node.op->cost(segment.graph.call(node).query()).flops;
    of_segment.push_back(flops);
  }
  double flops = 0;
  for (const Call& call : program.calls) flops += of_segment[static_cast<size_t>(call.segment)];
  return flops;
}

// Every parameter once, but the embedding's row alone, unless the head shares its table.
double token_bytes(const Model& model, DType dtype) {
  const ModelInfo info = model.info();
  double bytes = 0;
  for (const ProgramParameter& parameter : generation_program(model, dtype, 1).parameters)
    bytes += static_cast<double>(parameter.type.bytes());
  if (!info.tied) bytes -= static_cast<double>(info.vocabulary * info.width * size_of(dtype));
  return bytes;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<std::int32_t> random_prompt(std::int64_t count, std::int64_t vocabulary) {
  const Rng rng(1, 0);
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<std::int32_t>(
        rng.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(vocabulary))));
  return tokens;
}

struct Times {
  std::vector<double> prompt, token, gemm, ram, reads;
};

void measure_rates(DType dtype, Times& times) {
  times.gemm.push_back(measure_gemm_gflops(dtype, kRateSeconds));
  times.ram.push_back(measure_ram(kRateSeconds).read_gb_per_second.median);
}

void run_round(Generator& generator, const Options& options, Times& times) {
  const auto prompt = random_prompt(options.prompt, generator.vocabulary());
  std::int32_t next = 0;
  const auto take = [&](std::int64_t, std::int64_t, const float* logits) {
    next = sample({logits, static_cast<size_t>(generator.vocabulary())}, {}, generator.past());
  };
  generator.reset();
  auto start = Clock::now();
  generator.append(prompt, take);
  times.prompt.push_back(seconds_since(start));
  std::vector<double> each;
  for (std::int64_t i = 0; i < options.tokens; ++i) {
    start = Clock::now();
    generator.append({&next, 1}, take);
    each.push_back(seconds_since(start));
  }
  times.token.push_back(median(each));
  times.reads.push_back(generator.engine().measure_reads());
}

void bench_generate(const Options& options) {
  const ModelSource source(options.model);
  const DType dtype = parse_dtype(options.dtype);
  const Residence residence(options.residence, options.model);
  Generator generator(source.model(), {options.prompt + options.tokens, dtype, false},
                      residence.forward());
  residence.tell(generator);
  const auto start = Clock::now();
  generator.load(source.weights());
  const double load_seconds = seconds_since(start);
  Times times;
  run_round(generator, options, times);  // touches fresh pages
  times = {};
  const std::int64_t peak_bytes = peak_rss_bytes();  // before rates are measured in memory's size
  for (int round = 0; round < options.rounds; ++round) {
    measure_rates(dtype, times);
    run_round(generator, options, times);
  }
  const double bytes = token_bytes(source.model(), dtype);
  const double gemm = median(times.gemm), ram = median(times.ram);
  const double prompt_seconds = median(times.prompt), token_seconds = median(times.token);
  const double prompt_gflops =
      prompt_flops(source.model(), dtype, options.prompt) / prompt_seconds / 1e9;
  const double token_gb = bytes / token_seconds / 1e9;
  const std::optional<double> foretold = generator.token_seconds();
  const auto disk_bytes = static_cast<double>(generator.engine().read_bytes());
  const double reads = median(times.reads);
  const nlohmann::json result = {
      {"prompt_tokens_per_second", static_cast<double>(options.prompt) / prompt_seconds},
      {"prompt_share_of_gemm", prompt_gflops / gemm},
      {"tokens_per_second", 1 / token_seconds},
      {"foretold_tokens_per_second", foretold ? nlohmann::json(1 / *foretold) : nullptr},
      {"token_bytes", bytes},
      {"token_disk_bytes", disk_bytes},
      {"disk_gb_per_second", disk_bytes > 0 ? nlohmann::json(disk_bytes / reads / 1e9) : nullptr},
      {"decode_share_of_disk", reads / token_seconds},
      {"decode_share_of_ram", token_gb / ram},
      {"gemm_gflops", gemm},
      {"ram_gb_per_second", ram},
      {"load_seconds", load_seconds},
      {"threads", thread_count()},
      {"peak_rss_bytes", peak_bytes}};
  if (options.json)
    fmt::print("{}\n", result.dump());
  else
    fmt::print(
        "prompt {:.0f} tok/s, {:.2f} of {:.0f} GFLOP/s; decode {:.1f} tok/s, {:.2f} of {:.1f} "
        "GB/s\n",
        static_cast<double>(options.prompt) / prompt_seconds, prompt_gflops / gemm, gemm,
        1 / token_seconds, token_gb / ram, ram);
  if (options.profile)
    fmt::print("\nThe prompt's first chunk:\n{}\nOne token:\n{}",
               describe_step(generator.first_of(options.prompt), {gemm, ram}),
               describe_step(generator.decoder(), {gemm, ram}));
}

}  // namespace

void add_bench_generate(CLI::App& bench) {
  CLI::App* generate = bench.add_subcommand("generate", "Time prompt processing and decoding");
  auto options = std::make_shared<Options>();
  generate->add_option("model", options->model, "MODEL: folder, GGUF file or run folder")
      ->required();
  generate->add_option("--prompt-tokens", options->prompt, "Tokens of the prompt")
      ->check(CLI::PositiveNumber);
  generate->add_option("--new-tokens", options->tokens, "Tokens decoded per round")
      ->check(CLI::PositiveNumber);
  generate->add_option("--dtype", options->dtype, "f32 or bf16");
  generate->add_option("--rounds", options->rounds, "Rounds measured, after one more")
      ->check(CLI::PositiveNumber);
  add_residence_options(*generate, options->residence);
  generate->add_flag("--json", options->json, "One JSON object");
  generate->add_flag("--profile", options->profile,
                     "Time of each op of a prompt's chunk and of a token, beside its floor");
  generate->callback([options] { bench_generate(*options); });
}

}  // namespace outsize
