// Updates against the memory they must move: GB/s of every rule beside a plain copy of the same
// size. Bytes are those of UpdateRule::cost. Buffers exceed every cache; run on an otherwise idle
// machine.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/parallel.h"
#include "optim/clip.h"
#include "optim/update_rule.h"

namespace outsize {
namespace {

constexpr std::int64_t kRows = 8192;
constexpr std::int64_t kCols = 4096;
constexpr std::int64_t kCount = kRows * kCols;  // 128 MiB of f32

void copy(benchmark::State& state) {
  const std::vector<float> from(kCount, 1.0f);
  std::vector<float> to(kCount);
  for (auto _ : state)
    parallel_for(kCount, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
      std::copy(from.data() + begin, from.data() + end, to.data() + begin);
    });
  state.SetBytesProcessed(state.iterations() * kCount * 8);
}

// Read and written in place, as an update's buffers are: no cache line is fetched only to be
// replaced.
void scale_in_place(benchmark::State& state) {
  std::vector<float> x(kCount, 1.0f);
  for (auto _ : state)
    parallel_for(kCount, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) x[static_cast<size_t>(i)] *= 1.5f;
    });
  state.SetBytesProcessed(state.iterations() * kCount * 8);
}

void norm(benchmark::State& state) {
  const std::vector<float> x(kCount, 1.0f);
  for (auto _ : state) benchmark::DoNotOptimize(sum_of_squares(x.data(), kCount));
  state.SetBytesProcessed(state.iterations() * kCount * 4);
}

void update(benchmark::State& state, const OptimizerOptions& options, DType dtype) {
  const std::unique_ptr<UpdateRule> rule = make_update_rule(options);
  const ParameterSpec spec{.shape = Shape{kRows, kCols}, .dtype = dtype};
  std::vector<std::byte> weight(static_cast<size_t>(kCount * size_of(dtype)));
  const std::vector<float> gradient(kCount, 1.0f);
  std::vector<std::vector<std::byte>> memory;
  std::vector<void*> addresses;
  for (const StateBuffer& buffer : rule->state(spec)) {
    memory.emplace_back(static_cast<size_t>(buffer.count * size_of(buffer.dtype)));
    addresses.push_back(memory.back().data());
  }
  std::vector<std::byte> workspace(static_cast<size_t>(rule->workspace_bytes(spec)));
  UpdateArgs args{.weight = weight.data(),
                  .gradient = gradient.data(),
                  .state = addresses,
                  .step = 0,
                  .lr = 1e-4,
                  .gradient_scale = 1,
                  .workspace = workspace.data()};
  for (auto _ : state) {
    ++args.step;
    if (const Status status = rule->update(spec, args); !status.ok())
      state.SkipWithError(status.message());
  }
  const UpdateCost cost = rule->cost(spec);
  state.SetBytesProcessed(state.iterations() * (cost.bytes_read + cost.bytes_written));
}

BENCHMARK(copy)->UseRealTime();
BENCHMARK(scale_in_place)->UseRealTime();
BENCHMARK(norm)->UseRealTime();

const OptimizerOptions kAdamw{.name = "adamw", .weight_decay = 0.1};
const OptimizerOptions kAdamwBf16{
    .name = "adamw", .weight_decay = 0.1, .moment_dtype = DType::bf16};
const OptimizerOptions kSgd{.name = "sgd", .momentum = 0.9};
const OptimizerOptions kAdafactor{.name = "adafactor"};

BENCHMARK_CAPTURE(update, adamw_f32, kAdamw, DType::f32)->UseRealTime();
BENCHMARK_CAPTURE(update, adamw_bf16, kAdamw, DType::bf16)->UseRealTime();
BENCHMARK_CAPTURE(update, adamw_bf16_moments_bf16, kAdamwBf16, DType::bf16)->UseRealTime();
BENCHMARK_CAPTURE(update, sgd_bf16, kSgd, DType::bf16)->UseRealTime();
BENCHMARK_CAPTURE(update, adafactor_f32, kAdafactor, DType::f32)->UseRealTime();
BENCHMARK_CAPTURE(update, adafactor_bf16, kAdafactor, DType::bf16)->UseRealTime();

}  // namespace
}  // namespace outsize

BENCHMARK_MAIN();
