// Attention against the matrix-product rate of the same minutes: GFLOP/s over causal pairs (forward
// 4·K·H per pair, backward 10), `gemm` the oneDNN bf16 rate for 2048x4096x4096, `share` their
// ratio. Rates are of the fastest of the repeats, so that a busy machine disturbs the ratio least.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <vector>

#include "backends/cpu/matmul.h"
#include "core/error.h"
#include "core/half.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "ops/attention/attention.h"
#include "ops/cached_attention/cached_attention.h"
#include "ops/ops.h"

namespace outsize {
namespace {

using Clock = std::chrono::steady_clock;

template <class Body>
double fastest_seconds(int repeats, Body&& body) {
  double best = 1e30;
  for (int i = 0; i < repeats; ++i) {
    const auto start = Clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

struct Aligned {
  explicit Aligned(std::int64_t bytes)
      : data(std::aligned_alloc(64, static_cast<size_t>((bytes + 64) / 64 * 64)), std::free) {}
  std::unique_ptr<void, void (*)(void*)> data;
};

double gemm_rate() {
  constexpr std::int64_t kM = 2048, kN = 4096, kK = 4096;
  const Matmul matmul({.m = kM, .n = kN, .k = kK, .operand = DType::bf16, .result = DType::bf16});
  const std::vector<bf16> a(kM * kK, to_bf16(1.0f)), b(kK * kN, to_bf16(0.5f));
  std::vector<bf16> c(kM * kN);
  const Aligned workspace(matmul.workspace_bytes());
  const double seconds = fastest_seconds(4, [&] {
    ensure(matmul.run(a.data(), b.data(), nullptr, c.data(), workspace.data.get()).ok(), "matmul");
  });
  return 2.0 * kM * kN * kK / seconds;
}

// A kernel with buffers of its own: random bf16, whole documents.
struct Case {
  Case(const OpDef& op, const Attrs& attrs, std::vector<ValueType> types, std::int64_t row)
      : inputs(std::move(types)), outputs(op.infer(attrs, inputs)) {
    const KernelQuery query{attrs, inputs, outputs};
    kernel = make_kernel(op, query);
    cost = op.cost(query);
    for (const ValueType& type : inputs) fill(add(type, in), type, row);
    for (const ValueType& type : outputs) add(type, out);
    workspace = std::make_unique<Aligned>(kernel->workspace_bytes());
  }

  template <class Address>
  void* add(const ValueType& type, std::vector<Address>& list) {
    memory.emplace_back(type.bytes());
    list.push_back(memory.back().data.get());
    return memory.back().data.get();
  }

  void fill(void* to, const ValueType& type, std::int64_t row) {
    const Rng rng(1, memory.size());
    for (std::int64_t i = 0; i < type.shape.numel(); ++i) {
      const float x = static_cast<float>(rng.normal(static_cast<std::uint64_t>(i)));
      if (type.dtype == DType::bf16) static_cast<bf16*>(to)[i] = to_bf16(x);
      if (type.dtype == DType::f32) static_cast<float*>(to)[i] = 4.0f;  // a plausible lse
      if (type.dtype == DType::i32)
        static_cast<std::int32_t*>(to)[i] = static_cast<std::int32_t>(i / row * row);
    }
  }

  void run() const { ensure(kernel->launch({in, out, workspace->data.get()}).ok(), "attention"); }

  std::vector<ValueType> inputs, outputs;
  std::unique_ptr<Kernel> kernel;
  Cost cost;
  std::vector<Aligned> memory;
  std::vector<const void*> in;
  std::vector<void*> out;
  std::unique_ptr<Aligned> workspace;
};

struct Setting {
  std::int64_t rows, length, heads, kv_heads, head_dim, window;
};

void measure(benchmark::State& state, Setting s, bool forward, bool backward) {
  const Attrs attrs =
      to_attrs({s.heads, s.kv_heads, s.head_dim, 1 / std::sqrt(static_cast<double>(s.head_dim)),
                s.window, s.length});
  const std::int64_t tokens = s.rows * s.length;
  const ValueType q{DType::bf16, {tokens, s.heads * s.head_dim}};
  const ValueType kv{DType::bf16, {tokens, s.kv_heads * s.head_dim}};
  const ValueType start{DType::i32, {tokens}}, lse{DType::f32, {tokens, s.heads}};
  const Case first(attention_op(), attrs, {q, kv, kv, start}, s.length);
  const Case second(attention_grad_op(), attrs, {q, q, kv, kv, q, lse, start}, s.length);
  double best = 1e30;
  for (auto _ : state)
    best = std::min(best, fastest_seconds(1, [&] {
                      if (forward) first.run();
                      if (backward) second.run();
                    }));
  const double rate =
      ((forward ? first.cost.flops : 0) + (backward ? second.cost.flops : 0)) / best;
  const double gemm = gemm_rate();
  state.counters["GFLOP/s"] = rate * 1e-9;
  state.counters["gemm"] = gemm * 1e-9;
  state.counters["share"] = rate / gemm;
  state.counters["workspace_MiB"] =
      static_cast<double>(
          std::max(first.kernel->workspace_bytes(), second.kernel->workspace_bytes())) /
      1048576;
}

// Bytes per second of reading memory far beyond every cache, all threads.
double read_rate() {
  constexpr std::int64_t kCount = 1 << 26, kChunk = 1 << 16;
  const std::vector<std::uint64_t> data(kCount, 1);
  std::vector<std::uint64_t> sums(kCount / kChunk);
  const double seconds = fastest_seconds(4, [&] {
    parallel_for(kCount, kChunk, [&](std::int64_t begin, std::int64_t end) {
      std::uint64_t sum = 0;
      for (std::int64_t i = begin; i < end; ++i) sum += data[static_cast<size_t>(i)];
      sums[static_cast<size_t>(begin / kChunk)] = sum;
    });
    benchmark::DoNotOptimize(sums.data());
  });
  return 8.0 * kCount / seconds;
}

// One token behind a full cache of `length` tokens.
void decode(benchmark::State& state, Setting s) {
  Attrs attrs = to_attrs({s.heads, s.kv_heads, s.head_dim, 0.1, s.window, 0});
  attrs.set("capacity", s.length);
  attrs.set("accumulate", std::int64_t{1});
  const ValueType q{DType::bf16, {1, s.heads * s.head_dim}};
  const ValueType kv{DType::bf16, {1, s.kv_heads * s.head_dim}};
  const Case one(cached_attention_op(), attrs, {q, kv, kv, {DType::i32, {1}}}, s.length);
  *static_cast<std::int32_t*>(const_cast<void*>(one.in[3])) =
      static_cast<std::int32_t>(s.length - 1);
  for (size_t cache : {1, 2})
    std::fill_n(static_cast<bf16*>(one.out[cache]), one.outputs[cache].shape.numel(),
                to_bf16(0.5f));
  double best = 1e30;
  for (auto _ : state) best = std::min(best, fastest_seconds(1, [&] { one.run(); }));
  const double rate = static_cast<double>(2 * one.outputs[1].bytes()) / best;
  const double read = read_rate();
  state.counters["GB/s"] = rate * 1e-9;
  state.counters["read"] = read * 1e-9;
  state.counters["share"] = rate / read;
}

constexpr Setting kLlamaLong{1, 8192, 12, 12, 64, 0};
constexpr Setting kGpt2{4, 512, 12, 12, 64, 0};
constexpr Setting kQwen2{4, 512, 14, 2, 64, 0};
constexpr Setting kGemma{4, 512, 4, 1, 256, 512};

#define OUTSIZE_PASSES(name, setting)                                               \
  BENCHMARK_CAPTURE(measure, name##_forward, setting, true, false)->UseRealTime();  \
  BENCHMARK_CAPTURE(measure, name##_backward, setting, false, true)->UseRealTime(); \
  BENCHMARK_CAPTURE(measure, name##_both, setting, true, true)->UseRealTime();
OUTSIZE_PASSES(llama_1x8192, kLlamaLong)
OUTSIZE_PASSES(gpt2_4x512, kGpt2)
OUTSIZE_PASSES(qwen2_4x512, kQwen2)
OUTSIZE_PASSES(gemma3_4x512, kGemma)

// Caches beyond the last-level cache.
constexpr Setting kDecodeLlama{1, 32768, 32, 8, 128, 0};
constexpr Setting kDecodeGpt2{1, 32768, 12, 12, 64, 0};
constexpr Setting kDecodeGemma{1, 65536, 4, 1, 256, 0};
BENCHMARK_CAPTURE(decode, llama3_32768, kDecodeLlama)->UseRealTime();
BENCHMARK_CAPTURE(decode, gpt2_32768, kDecodeGpt2)->UseRealTime();
BENCHMARK_CAPTURE(decode, gemma3_65536, kDecodeGemma)->UseRealTime();

}  // namespace
}  // namespace outsize

BENCHMARK_MAIN();
