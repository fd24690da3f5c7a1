#include "ops/activation/activation_cpu.h"

#include "core/isa.h"
#include "core/parallel.h"
#include "ops/activation/activation_simd.h"

namespace outsize {
namespace {

constexpr std::int64_t kElementsPerTask = 1 << 14;

const ActivationKernels& table() {
  return select_isa(isa_baseline::activation_table, isa_avx2::activation_table,
                    isa_avx512::activation_table);
}

struct ActivationKernel : Kernel {
  ActivationKernel(const KernelQuery& query, bool backward)
      : count(query.outputs[0].shape.numel()),
        bytes(query.outputs[0].bytes()),
        kind(query.attrs.integer("kind")),
        bf16(query.outputs[0].dtype == DType::bf16),
        backward(backward) {}
  Status launch(const KernelArgs& args) const noexcept override {
    const Result out = result(args.outputs[0], bytes);
    parallel_for(count, kElementsPerTask, [&](std::int64_t begin, std::int64_t end) {
      if (backward)
        table().backward[bf16][kind](args.inputs[0], args.inputs[1], out, begin, end);
      else
        table().forward[bf16][kind](args.inputs[0], out, begin, end);
    });
    return {};
  }

  std::int64_t count, bytes;
  std::int64_t kind;
  bool bf16;
  bool backward;
};

const char* probe(const KernelQuery&) {
  return nullptr;
}

template <bool kBackward>
std::unique_ptr<Kernel> make(const KernelQuery& query) {
  return std::make_unique<ActivationKernel>(query, kBackward);
}

}  // namespace

std::vector<KernelCandidate> activation_kernels() {
  return {{"vector", probe, make<false>}};
}

std::vector<KernelCandidate> activation_grad_kernels() {
  return {{"vector", probe, make<true>}};
}

}  // namespace outsize
