// Every op bound by memory, and its gradient, at the sizes of real blocks: GB/s of the bytes that
// its cost states, beside a plain copy on the same threads. Operands stay warm between repeats: up
// to about 16 MB they come from the last-level cache, as they do within a step. Attention and
// products have benchmarks of their own.
//   bench_ops --benchmark_filter=bf16 --benchmark_repetitions=5
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/half.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "ops/activation/activation.h"
#include "ops/add/add.h"
#include "ops/embedding/embedding.h"
#include "ops/gated_activation/gated_activation.h"
#include "ops/layer_norm/layer_norm.h"
#include "ops/ops.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rope/rope.h"
#include "ops/rope_table/rope_table.h"

namespace outsize {
namespace {

struct Buffer {
  explicit Buffer(std::int64_t bytes)
      : data(std::aligned_alloc(64, (static_cast<size_t>(bytes) + 127) / 64 * 64), std::free) {
    std::memset(data.get(), 0, static_cast<size_t>(bytes));
  }
  std::unique_ptr<void, void (*)(void*)> data;
};

struct Case {
  std::string name;
  const OpDef* op;
  Attrs attrs;
  std::vector<ValueType> inputs;
  std::int64_t ids = 1;  // integers are drawn below this
};

void fill(const ValueType& type, std::int64_t ids, void* data) {
  const Rng rng(1, static_cast<std::uint64_t>(type.shape.numel()));
  for (std::int64_t i = 0; i < type.shape.numel(); ++i) {
    const auto counter = static_cast<std::uint64_t>(i % 65536);
    if (type.dtype == DType::i32)
      static_cast<std::int32_t*>(data)[i] =
          static_cast<std::int32_t>(rng.below(counter, static_cast<std::uint64_t>(ids)));
    else if (type.dtype == DType::bf16)
      static_cast<bf16*>(data)[i] = to_bf16(static_cast<float>(rng.uniform(counter) - 0.4));
    else
      static_cast<float*>(data)[i] = static_cast<float>(rng.uniform(counter) + 0.1);
  }
}

void run(benchmark::State& state, const Case& item) {
  const std::vector<ValueType> outputs = item.op->infer(item.attrs, item.inputs);
  const KernelQuery query{item.attrs, item.inputs, outputs};
  const auto kernel = make_kernel(*item.op, query);
  std::vector<Buffer> buffers;
  std::vector<const void*> in;
  std::vector<void*> out;
  for (const ValueType& type : item.inputs) {
    buffers.emplace_back(type.bytes());
    fill(type, item.ids, buffers.back().data.get());
    in.push_back(buffers.back().data.get());
  }
  for (const ValueType& type : outputs) {
    buffers.emplace_back(type.bytes());
    out.push_back(buffers.back().data.get());
  }
  const Buffer workspace(kernel->workspace_bytes());
  for (auto _ : state) {
    const Status status = kernel->launch({in, out, workspace.data.get()});
    if (!status.ok()) state.SkipWithError(status.message());
  }
  const Cost cost = item.op->cost(query);
  state.SetBytesProcessed(static_cast<std::int64_t>(static_cast<double>(state.iterations()) *
                                                    (cost.bytes_read + cost.bytes_written)));
}

void copy(benchmark::State& state, std::int64_t bytes) {
  const Buffer from(bytes), to(bytes);
  for (auto _ : state)
    parallel_for(bytes, 1 << 17, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(static_cast<char*>(to.data.get()) + begin,
                  static_cast<const char*>(from.data.get()) + begin,
                  static_cast<size_t>(end - begin));
    });
  state.SetBytesProcessed(state.iterations() * 2 * bytes);
}

constexpr std::int64_t kRows = 2048;

void add_block_cases(DType dtype, std::int64_t width, std::vector<Case>& cases) {
  const ValueType x{dtype, {kRows, width}}, w{DType::f32, {width}}, row{DType::f32, {kRows}},
      rstd{DType::f32, {kRows, 1}};
  const Attrs rms{{"eps", 1e-6}, {"weight_offset", 0.0}}, layer{{"eps", 1e-5}};
  const Attrs silu{{"kind", std::int64_t{0}}}, gelu{{"kind", std::int64_t{1}}};
  cases.push_back({"add", &add_op(), {}, {x, x}});
  cases.push_back({"rms_norm", &rms_norm_op(), rms, {x, w}});
  cases.push_back({"rms_norm_grad", &rms_norm_grad_op(), rms, {x, x, w, rstd}});
  cases.push_back({"layer_norm", &layer_norm_op(), layer, {x, w, w}});
  cases.push_back({"layer_norm_grad", &layer_norm_grad_op(), layer, {x, x, w, row, row}});
  cases.push_back({"activation_gelu_tanh", &activation_op(), gelu, {x}});
  cases.push_back({"activation_gelu_tanh_grad", &activation_grad_op(), gelu, {x, x}});
  cases.push_back({"gated_silu", &gated_activation_op(), silu, {x, x}});
  cases.push_back({"gated_silu_grad", &gated_activation_grad_op(), silu, {x, x, x}});
  cases.push_back({"gated_gelu_tanh", &gated_activation_op(), gelu, {x, x}});
  cases.push_back({"gated_gelu_tanh_grad", &gated_activation_grad_op(), gelu, {x, x, x}});
}

void add_attention_cases(DType dtype, std::vector<Case>& cases) {
  constexpr std::int64_t kHeads = 12, kHeadDim = 64;
  const ValueType x{dtype, {kRows, kHeads * kHeadDim}}, w{DType::f32, {kHeadDim}};
  const ValueType table{DType::f32, {kRows, kHeadDim}}, rstd{DType::f32, {kRows, kHeads}};
  const Attrs rms{{"eps", 1e-6}, {"weight_offset", 0.0}};
  cases.push_back({"rms_norm_heads", &rms_norm_op(), rms, {x, w}});
  cases.push_back({"rms_norm_heads_grad", &rms_norm_grad_op(), rms, {x, x, w, rstd}});
  cases.push_back({"rope", &rope_op(), {{"head_dim", kHeadDim}}, {x, table}});
}

void add_vocabulary_cases(DType dtype, std::vector<Case>& cases) {
  constexpr std::int64_t kVocabulary = 262144, kWidth = 640;
  const ValueType table{dtype, {kVocabulary, kWidth}}, dy{dtype, {kRows, kWidth}},
      ids{DType::i32, {kRows}};
  const Attrs attrs{{"scale", 1.0}, {"vocabulary", kVocabulary}};
  Attrs adding = attrs;
  adding.set("accumulate", std::int64_t{1});
  cases.push_back({"embedding", &embedding_op(), attrs, {table, ids}, kVocabulary});
  cases.push_back({"embedding_grad", &embedding_grad_op(), attrs, {dy, ids}, kVocabulary});
  cases.push_back({"embedding_grad_add", &embedding_grad_op(), adding, {dy, ids}, kVocabulary});
}

void register_case(const std::string& suffix, const Case& item) {
  benchmark::RegisterBenchmark((item.name + suffix).c_str(), run, item)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

void register_all() {
  for (std::int64_t bytes : {3ll << 20, 12ll << 20, 256ll << 20})
    benchmark::RegisterBenchmark(fmt::format("copy/{}MiB", bytes >> 20).c_str(), copy, bytes)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  for (DType dtype : {DType::bf16, DType::f32}) {
    for (std::int64_t width : {768, 3072}) {
      std::vector<Case> cases;
      add_block_cases(dtype, width, cases);
      for (const Case& item : cases)
        register_case(fmt::format("/{}/{}", width, name_of(dtype)), item);
    }
    std::vector<Case> cases;
    add_attention_cases(dtype, cases);
    add_vocabulary_cases(dtype, cases);
    for (const Case& item : cases) register_case(fmt::format("/{}", name_of(dtype)), item);
  }
  std::vector<double> frequencies;
  for (int i = 0; i < 128; ++i) frequencies.push_back(1.0 / (1.0 + i));
  register_case("/256", {"rope_table",
                         &rope_table_op(),
                         {{"frequencies", frequencies}, {"scale", 1.0}},
                         {{DType::i32, {kRows}}},
                         512});
}

}  // namespace
}  // namespace outsize

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  outsize::register_all();
  benchmark::AddCustomContext("isa", outsize::name_of(outsize::active_isa()));
  benchmark::AddCustomContext("threads", std::to_string(outsize::thread_count()));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
