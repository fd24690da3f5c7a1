#include "ops/gated_activation/gated_activation_cpu.h"

#include "core/isa.h"
#include "core/parallel.h"
#include "ops/gated_activation/gated_activation_simd.h"

namespace outsize {
namespace {

constexpr std::int64_t kElementsPerTask = 1 << 14;

const GatedActivationKernels& table() {
  return select_isa(isa_baseline::gated_activation_table, isa_avx2::gated_activation_table,
                    isa_avx512::gated_activation_table);
}

struct GatedActivationKernel : Kernel {
  GatedActivationKernel(const KernelQuery& query, bool backward)
      : count(query.outputs[0].shape.numel()),
        bytes(query.outputs[0].bytes()),
        kind(query.attrs.integer("kind")),
        bf16(query.outputs[0].dtype == DType::bf16),
        backward(backward) {}
  Status launch(const KernelArgs& args) const noexcept override {
    const auto in = args.inputs;
    const Result first = result(args.outputs[0], bytes);
    const Result second = backward ? result(args.outputs[1], bytes) : Result{};
    parallel_for(count, kElementsPerTask, [&](std::int64_t begin, std::int64_t end) {
      if (backward)
        table().backward[bf16][kind](in[0], in[1], in[2], first, second, begin, end);
      else
        table().forward[bf16][kind](in[0], in[1], first, begin, end);
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
  return std::make_unique<GatedActivationKernel>(query, kBackward);
}

}  // namespace

std::vector<KernelCandidate> gated_activation_kernels() {
  return {{"vector", probe, make<false>}};
}

std::vector<KernelCandidate> gated_activation_grad_kernels() {
  return {{"vector", probe, make<true>}};
}

}  // namespace outsize
