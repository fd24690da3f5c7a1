#include "ops/rms_norm/rms_norm_cpu.h"

#include "core/isa.h"
#include "core/parallel.h"
#include "ops/rms_norm/rms_norm_simd.h"
#include "ops/row_blocks.h"

namespace outsize {
namespace {

constexpr std::int64_t kElementsPerTask = 1 << 14;

const RmsNormKernels& table() {
  return select_isa(isa_baseline::rms_norm_table, isa_avx2::rms_norm_table,
                    isa_avx512::rms_norm_table);
}

const char* probe(const KernelQuery&) {
  return nullptr;
}

struct RmsNormKernel : Kernel {
  explicit RmsNormKernel(const KernelQuery& query)
      : groups(query.outputs[1].shape.numel()),
        size(query.inputs[1].shape[0]),
        bytes(query.outputs[0].bytes()),
        eps(static_cast<float>(query.attrs.real("eps"))),
        offset(static_cast<float>(query.attrs.real("weight_offset"))),
        bf16(query.inputs[0].dtype == DType::bf16) {}
  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<RmsNormKernel>(query);
  }
  Status launch(const KernelArgs& args) const noexcept override {
    const auto* w = static_cast<const float*>(args.inputs[1]);
    const Result y = result(args.outputs[0], bytes);
    auto* rstd = static_cast<float*>(args.outputs[1]);
    parallel_for(groups, kElementsPerTask / size + 1, [&](std::int64_t begin, std::int64_t end) {
      table().forward[bf16](args.inputs[0], w, y, rstd, begin, end, size, eps, offset);
    });
    return {};
  }

  std::int64_t groups, size, bytes;
  float eps, offset;
  bool bf16;
};

struct RmsNormGradKernel : Kernel {
  explicit RmsNormGradKernel(const KernelQuery& query)
      : groups(query.inputs[3].shape.numel()),
        size(query.inputs[2].shape[0]),
        blocks(groups),
        bytes(query.outputs[0].bytes()),
        offset(static_cast<float>(query.attrs.real("weight_offset"))),
        bf16(query.inputs[0].dtype == DType::bf16),
        accumulate(query.attrs.integer_or("accumulate", 0) != 0) {}
  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<RmsNormGradKernel>(query);
  }
  std::int64_t workspace_bytes() const override { return blocks.workspace_bytes(size); }
  Status launch(const KernelArgs& args) const noexcept override {
    const auto in = args.inputs;
    const auto* w = static_cast<const float*>(in[2]);
    const auto* rstd = static_cast<const float*>(in[3]);
    const Result dx = result(args.outputs[0], bytes);
    parallel_for(groups, blocks.rows_each, [&](std::int64_t begin, std::int64_t end) {
      table().backward[bf16](in[0], in[1], w, rstd, dx, blocks.part(args.workspace, begin, size),
                             begin, end, size, offset);
    });
    blocks.add_up(args.workspace, size, 0, size, accumulate, static_cast<float*>(args.outputs[1]));
    return {};
  }

  std::int64_t groups, size;
  RowBlocks blocks;
  std::int64_t bytes;
  float offset;
  bool bf16, accumulate;
};

}  // namespace

std::vector<KernelCandidate> rms_norm_kernels() {
  return {{"vector", probe, RmsNormKernel::make}};
}

std::vector<KernelCandidate> rms_norm_grad_kernels() {
  return {{"vector", probe, RmsNormGradKernel::make}};
}

}  // namespace outsize
