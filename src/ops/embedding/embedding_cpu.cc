#include "ops/embedding/embedding_cpu.h"

#include <cstring>

#include "core/isa.h"
#include "core/parallel.h"
#include "ops/embedding/embedding_simd.h"

namespace outsize {
namespace {

constexpr std::int64_t kElementsPerTask = 1 << 14;
// Columns are split over the threads, so that each sum has one owner and a fixed order.
constexpr std::int64_t kColumnsPerTask = 128;
// Large enough for the C library to zero past the caches.
constexpr std::int64_t kZeroedBytesPerTask = 8 << 20;

const EmbeddingKernels& table() {
  return select_isa(isa_baseline::embedding_table, isa_avx2::embedding_table,
                    isa_avx512::embedding_table);
}

bool all_within(const std::int32_t* ids, std::int64_t count, std::int64_t vocabulary) {
  bool within = true;
  for (std::int64_t n = 0; n < count; ++n) within &= ids[n] >= 0 && ids[n] < vocabulary;
  return within;
}

struct EmbeddingKernel : Kernel {
  explicit EmbeddingKernel(const KernelQuery& query)
      : count(query.inputs[1].shape[0]),
        vocabulary(query.inputs[0].shape[0]),
        width(query.inputs[0].shape[1]),
        bytes(query.outputs[0].bytes()),
        scale(static_cast<float>(query.attrs.real("scale"))),
        bf16(query.inputs[0].dtype == DType::bf16) {}
  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<EmbeddingKernel>(query);
  }
  Status launch(const KernelArgs& args) const noexcept override {
    const auto* ids = static_cast<const std::int32_t*>(args.inputs[1]);
    if (!all_within(ids, count, vocabulary))
      return Status("[embedding] a token id lies outside the table");
    const Result y = result(args.outputs[0], bytes);
    const std::int64_t grain = kElementsPerTask / (width + 1) + 1;
    parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
      table().gather[bf16](args.inputs[0], ids, y, begin, end, width, scale);
    });
    return {};
  }

  std::int64_t count, vocabulary, width, bytes;
  float scale;
  bool bf16;
};

struct EmbeddingGradKernel : Kernel {
  explicit EmbeddingGradKernel(const KernelQuery& query)
      : count(query.inputs[0].shape[0]),
        vocabulary(query.outputs[0].shape[0]),
        width(query.outputs[0].shape[1]),
        scale(static_cast<float>(query.attrs.real("scale"))),
        bf16(query.inputs[0].dtype == DType::bf16),
        accumulate(query.attrs.integer_or("accumulate", 0) != 0) {}
  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<EmbeddingGradKernel>(query);
  }
  Status launch(const KernelArgs& args) const noexcept override {
    const auto* ids = static_cast<const std::int32_t*>(args.inputs[1]);
    if (!all_within(ids, count, vocabulary))
      return Status("[embedding_grad] a token id lies outside the table");
    float* dtable = static_cast<float*>(args.outputs[0]);
    if (!accumulate) set_to_zero(dtable);
    parallel_for(width, kColumnsPerTask, [&](std::int64_t begin, std::int64_t end) {
      table().scatter[bf16](args.inputs[0], ids, dtable, count, begin, end, width, scale);
    });
    return {};
  }
  void set_to_zero(float* dtable) const {
    constexpr std::int64_t kFloatsPerTask = kZeroedBytesPerTask / sizeof(float);
    parallel_for(vocabulary * width, kFloatsPerTask, [&](std::int64_t begin, std::int64_t end) {
      std::memset(dtable + begin, 0, static_cast<size_t>(end - begin) * sizeof(float));
    });
  }

  std::int64_t count, vocabulary, width;
  float scale;
  bool bf16, accumulate;
};

const char* probe(const KernelQuery&) {
  return nullptr;
}

}  // namespace

std::vector<KernelCandidate> embedding_kernels() {
  return {{"vector", probe, EmbeddingKernel::make}};
}

std::vector<KernelCandidate> embedding_grad_kernels() {
  return {{"vector", probe, EmbeddingGradKernel::make}};
}

}  // namespace outsize
