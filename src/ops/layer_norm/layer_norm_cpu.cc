#include "ops/layer_norm/layer_norm_cpu.h"

#include "core/isa.h"
#include "core/parallel.h"
#include "ops/layer_norm/layer_norm_simd.h"
#include "ops/row_blocks.h"

namespace outsize {
namespace {

constexpr std::int64_t kElementsPerTask = 1 << 14;

const LayerNormKernels& table() {
  return select_isa(isa_baseline::layer_norm_table, isa_avx2::layer_norm_table,
                    isa_avx512::layer_norm_table);
}

const char* probe(const KernelQuery&) {
  return nullptr;
}

struct LayerNormKernel : Kernel {
  explicit LayerNormKernel(const KernelQuery& query)
      : rows(query.inputs[0].shape[0]),
        width(query.inputs[0].shape[1]),
        bytes(query.outputs[0].bytes()),
        eps(static_cast<float>(query.attrs.real("eps"))),
        bf16(query.inputs[0].dtype == DType::bf16) {}
  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<LayerNormKernel>(query);
  }
  Status launch(const KernelArgs& args) const noexcept override {
    const auto in = args.inputs;
    const auto out = args.outputs;
    const Result y = result(out[0], bytes);
    parallel_for(rows, kElementsPerTask / width + 1, [&](std::int64_t begin, std::int64_t end) {
      table().forward[bf16](in[0], static_cast<const float*>(in[1]),
                            static_cast<const float*>(in[2]), y, static_cast<float*>(out[1]),
                            static_cast<float*>(out[2]), begin, end, width, eps);
    });
    return {};
  }

  std::int64_t rows, width, bytes;
  float eps;
  bool bf16;
};

struct LayerNormGradKernel : Kernel {
  explicit LayerNormGradKernel(const KernelQuery& query)
      : rows(query.inputs[0].shape[0]),
        width(query.inputs[0].shape[1]),
        blocks(rows),
        bytes(query.outputs[0].bytes()),
        bf16(query.inputs[0].dtype == DType::bf16),
        accumulate(query.attrs.integer_or("accumulate", 0) != 0) {}
  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<LayerNormGradKernel>(query);
  }
  std::int64_t workspace_bytes() const override { return blocks.workspace_bytes(2 * width); }
  Status launch(const KernelArgs& args) const noexcept override {
    const auto in = args.inputs;
    const auto out = args.outputs;
    const Result dx = result(out[0], bytes);
    parallel_for(rows, blocks.rows_each, [&](std::int64_t begin, std::int64_t end) {
      table().backward[bf16](in[0], in[1], static_cast<const float*>(in[2]),
                             static_cast<const float*>(in[3]), static_cast<const float*>(in[4]), dx,
                             blocks.part(args.workspace, begin, 2 * width), begin, end, width);
    });
    for (const std::int64_t half : {0, 1})
      blocks.add_up(args.workspace, 2 * width, half * width, width, accumulate,
                    static_cast<float*>(out[static_cast<size_t>(1 + half)]));
    return {};
  }

  std::int64_t rows, width;
  RowBlocks blocks;
  std::int64_t bytes;
  bool bf16, accumulate;
};

}  // namespace

std::vector<KernelCandidate> layer_norm_kernels() {
  return {{"vector", probe, LayerNormKernel::make}};
}

std::vector<KernelCandidate> layer_norm_grad_kernels() {
  return {{"vector", probe, LayerNormGradKernel::make}};
}

}  // namespace outsize
