#include "ops/add/add_cpu.h"

#include "core/isa.h"
#include "core/parallel.h"
#include "ops/add/add_simd.h"

namespace outsize {
namespace {

constexpr std::int64_t kElementsPerTask = 1 << 15;

struct AddKernel : Kernel {
  explicit AddKernel(const KernelQuery& query)
      : count(query.outputs[0].shape.numel()),
        bytes(query.outputs[0].bytes()),
        bf16(query.outputs[0].dtype == DType::bf16) {}
  static const char* probe(const KernelQuery& query) {
    const DType dtype = query.outputs[0].dtype;
    return dtype == DType::f32 || dtype == DType::bf16 ? nullptr : "takes f32 and bf16 only";
  }
  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<AddKernel>(query);
  }
  Status launch(const KernelArgs& args) const noexcept override {
    const auto add =
        select_isa(isa_baseline::add_table, isa_avx2::add_table, isa_avx512::add_table).add[bf16];
    const Result y = result(args.outputs[0], bytes);
    parallel_for(count, kElementsPerTask, [&](std::int64_t begin, std::int64_t end) {
      add(args.inputs[0], args.inputs[1], y, begin, end);
    });
    return {};
  }

  std::int64_t count, bytes;
  bool bf16;
};

}  // namespace

std::vector<KernelCandidate> add_kernels() {
  return {{"vector", AddKernel::probe, AddKernel::make}};
}

}  // namespace outsize
