// Products as a training step has them, with everything that is turned over or packed: GFLOP/s, and
// how far the results are from those of double precision. Operands of `cold` come in twelve sets
// in turn, of `warm` in one. On tile registers the products are our own; beside them oneDNN's:
//   bench_matmul --benchmark_filter=f32
//   OUTSIZE_ISA=avx512 bench_matmul --benchmark_filter=f32
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backends/cpu/matmul.h"
#include "core/half.h"
#include "core/rng.h"

namespace outsize {
namespace {

constexpr std::int64_t kColdSets = 12;
constexpr std::int64_t kChecked = 2048;  // elements of the result

using Buffer = std::unique_ptr<char, void (*)(void*)>;

Buffer allocate(std::int64_t bytes) {
  Buffer buffer(
      static_cast<char*>(std::aligned_alloc(64, static_cast<size_t>(bytes + 63) / 64 * 64)),
      std::free);
  std::memset(buffer.get(), 0, static_cast<size_t>(bytes));
  return buffer;
}

float element(const char* data, std::int64_t i, DType dtype) {
  return dtype == DType::bf16 ? to_f32(reinterpret_cast<const bf16*>(data)[i])
                              : reinterpret_cast<const float*>(data)[i];
}

// The same 64 Ki values over and over.
Buffer draw(std::int64_t count, DType dtype, std::uint64_t seed) {
  constexpr std::int64_t kPeriod = 1 << 16;
  Buffer buffer = allocate(count * size_of(dtype));
  const Rng rng(1, seed);
  for (std::int64_t i = 0; i < std::min(count, kPeriod); ++i) {
    const auto value = static_cast<float>(rng.normal(static_cast<std::uint64_t>(i)));
    if (dtype == DType::bf16)
      reinterpret_cast<bf16*>(buffer.get())[i] = to_bf16(value);
    else
      reinterpret_cast<float*>(buffer.get())[i] = value;
  }
  const std::int64_t bytes = count * size_of(dtype), period = kPeriod * size_of(dtype);
  for (std::int64_t at = period; at < bytes; at += period)
    std::memcpy(buffer.get() + at, buffer.get(), static_cast<size_t>(std::min(period, bytes - at)));
  return buffer;
}

struct Operands {
  Buffer a, b, c;
  explicit Operands(const MatmulSpec& spec)
      : a(draw(spec.m * spec.k, spec.operand, 1)),
        b(draw(spec.k * spec.n, spec.operand, 2)),
        c(allocate(spec.m * spec.n * size_of(spec.result))) {}
};

// Root mean square of the errors of some elements, as a share of that of the elements.
double relative_error(const MatmulSpec& spec, const Operands& of) {
  double errors = 0, squares = 0;
  for (std::int64_t i = 0; i < kChecked; ++i) {
    const std::int64_t row = i * 7919 % spec.m, column = i * 104729 % spec.n;
    double sum = 0;
    for (std::int64_t t = 0; t < spec.k; ++t)
      sum +=
          double{element(of.a.get(), spec.transpose_a ? t * spec.m + row : row * spec.k + t,
                         spec.operand)} *
          double{element(of.b.get(), spec.transpose_b ? column * spec.k + t : t * spec.n + column,
                         spec.operand)};
    const double error = double{element(of.c.get(), row * spec.n + column, spec.result)} - sum;
    errors += error * error;
    squares += sum * sum;
  }
  return std::sqrt(errors / squares);
}

void multiply(benchmark::State& state, const MatmulSpec& spec, std::int64_t count) {
  const Matmul product(spec);
  const Buffer workspace = allocate(product.workspace_bytes());
  std::vector<Operands> sets;
  for (std::int64_t i = 0; i < count; ++i) sets.emplace_back(spec);
  size_t next = 0;
  for (auto _ : state) {
    const Operands& of = sets[next++ % sets.size()];
    const Status status = product.run(of.a.get(), of.b.get(), nullptr, of.c.get(), workspace.get());
    if (!status.ok()) state.SkipWithError(status.message());
  }
  const double flops =
      2.0 * static_cast<double>(spec.m) * static_cast<double>(spec.n) * static_cast<double>(spec.k);
  state.counters["GFLOP/s"] =
      benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["error"] = relative_error(spec, sets.front());
}

// Tokens and sides of a linear layer.
struct Layer {
  std::int64_t rows, inputs, outputs;
};

// The three products of a linear layer: y = x·wᵀ, dx = dy·w, dw = dyᵀ·x.
std::vector<std::pair<std::string, MatmulSpec>> products_of(const Layer& layer, DType dtype) {
  return {
      {"forward",
       {.m = layer.rows,
        .n = layer.outputs,
        .k = layer.inputs,
        .operand = dtype,
        .result = dtype,
        .transpose_b = true}},
      {"grad_x",
       {.m = layer.rows, .n = layer.inputs, .k = layer.outputs, .operand = dtype, .result = dtype}},
      {"grad_w",
       {.m = layer.outputs,
        .n = layer.inputs,
        .k = layer.rows,
        .operand = dtype,
        .transpose_a = true}}};
}

constexpr Layer kLayers[] = {{8, 768, 3072},    {16, 768, 3072},   {32, 768, 3072},
                             {128, 640, 2048},  {256, 768, 3072},  {512, 640, 2048},
                             {2048, 768, 768},  {2048, 768, 3072}, {2048, 3072, 768},
                             {2048, 896, 4864}, {2048, 640, 2048}};

void register_all() {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Layer& layer : kLayers)
      for (const auto& [name, spec] : products_of(layer, dtype))
        for (const auto& [sets, how] : {std::pair{kColdSets, "cold"}, {std::int64_t{1}, "warm"}})
          benchmark::RegisterBenchmark(
              fmt::format("{}/{}/{}x{}x{}/{}", name_of(dtype), name, layer.rows, layer.inputs,
                          layer.outputs, how)
                  .c_str(),
              [spec = spec, sets = sets](benchmark::State& state) { multiply(state, spec, sets); })
              ->UseRealTime()
              ->Unit(benchmark::kMillisecond);
}

}  // namespace
}  // namespace outsize

int main(int argc, char** argv) {
  outsize::register_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
