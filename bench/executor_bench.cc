// What the executor itself costs: a GPT-2 of 1,000 tiny layers whose kernels do nothing, so that
// the time is that of tasks, launches and their clock readings.
#include <benchmark/benchmark.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "exec/executor.h"
#include "models/model.h"

namespace outsize {
namespace {

constexpr int kLayers = 1000;

void empty_tasks(benchmark::State& state) {
  const auto model = model_from_hf_config({{"model_type", "gpt2"},
                                           {"n_layer", kLayers},
                                           {"n_embd", 8},
                                           {"n_head", 2},
                                           {"vocab_size", 11},
                                           {"n_positions", 8}},
                                          "config.json");
  const Program program = model->program(
      {.mode = BuildOptions::Mode::evaluation, .tokens = 8, .row_length = 8, .dtype = DType::f32});
  CompiledProgram compiled(program, {.kernels = KernelChoice::null});
  Plan plan = make_plan({&program, compiled.profiles(), std::nullopt, 0});
  const auto tasks = static_cast<double>(plan.tasks.size());
  auto arena = std::make_shared<HostArena>(plan.arena_bytes);
  Executor executor(compiled, std::move(plan), std::move(arena));
  for (auto _ : state) executor.run({});
  state.counters["per_task"] = benchmark::Counter(
      tasks, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

BENCHMARK(empty_tasks);

}  // namespace
}  // namespace outsize

BENCHMARK_MAIN();
