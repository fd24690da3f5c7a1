#include "ops/rope/rope_cpu.h"

#include "core/isa.h"
#include "core/parallel.h"
#include "ops/rope/rope_simd.h"

namespace outsize {
namespace {

constexpr std::int64_t kElementsPerTask = 1 << 14;

struct RopeKernel : Kernel {
  explicit RopeKernel(const KernelQuery& query)
      : rows(query.outputs[0].shape[0]),
        width(query.outputs[0].shape[1]),
        head_dim(query.attrs.integer("head_dim")),
        bytes(query.outputs[0].bytes()),
        direction(query.attrs.integer_or("inverse", 0) ? -1.0f : 1.0f),
        bf16(query.outputs[0].dtype == DType::bf16) {}
  static const char* probe(const KernelQuery&) { return nullptr; }
  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<RopeKernel>(query);
  }
  Status launch(const KernelArgs& args) const noexcept override {
    const auto rotate = select_isa(isa_baseline::rope_kernel_table, isa_avx2::rope_kernel_table,
                                   isa_avx512::rope_kernel_table)
                            .rotate[bf16];
    const auto* table = static_cast<const float*>(args.inputs[1]);
    const Result y = result(args.outputs[0], bytes);
    const std::int64_t grain = kElementsPerTask / (width + 1) + 1;
    parallel_for(rows, grain, [&](std::int64_t begin, std::int64_t end) {
      rotate(args.inputs[0], table, y, begin, end, width / head_dim, head_dim, direction);
    });
    return {};
  }

  std::int64_t rows, width, head_dim, bytes;
  float direction;
  bool bf16;
};

}  // namespace

std::vector<KernelCandidate> rope_kernels() {
  return {{"vector", RopeKernel::probe, RopeKernel::make}};
}

}  // namespace outsize
