#include "ops/linear/linear_cpu.h"

#include "backends/cpu/matmul.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "ops/linear/linear_simd.h"
#include "ops/row_blocks.h"

namespace outsize {
namespace {

MatmulSpec forward_spec(const KernelQuery& query) {
  return {.m = query.inputs[0].shape[0],
          .n = query.inputs[1].shape[0],
          .k = query.inputs[0].shape[1],
          .operand = query.inputs[0].dtype,
          .result = query.outputs[0].dtype,
          .transpose_b = true,
          .bias = query.inputs.size() == 3};
}

MatmulSpec grad_input_spec(const KernelQuery& query) {
  return {.m = query.outputs[0].shape[0],
          .n = query.outputs[0].shape[1],
          .k = query.inputs[0].shape[1],
          .operand = query.inputs[0].dtype,
          .result = query.outputs[0].dtype};
}

MatmulSpec grad_weight_spec(const KernelQuery& query) {
  return {.m = query.outputs[0].shape[0],
          .n = query.outputs[0].shape[1],
          .k = query.inputs[0].shape[0],
          .operand = query.inputs[0].dtype,
          .result = DType::f32,
          .transpose_a = true,
          .accumulate = query.attrs.integer_or("accumulate", 0) != 0};
}

template <MatmulSpec (*spec)(const KernelQuery&)>
struct MatmulKernel : Kernel {
  explicit MatmulKernel(const KernelQuery& query) : matmul(spec(query)) {}
  static const char* probe(const KernelQuery& query) { return matmul_unsupported(spec(query)); }
  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<MatmulKernel>(query);
  }
  std::int64_t workspace_bytes() const override { return matmul.workspace_bytes(); }
  Status launch(const KernelArgs& args) const noexcept override {
    const float* bias =
        args.inputs.size() == 3 ? static_cast<const float*>(args.inputs[2]) : nullptr;
    return matmul.run(args.inputs[0], args.inputs[1], bias, args.outputs[0], args.workspace);
  }

  Matmul matmul;
};

template <MatmulSpec (*spec)(const KernelQuery&)>
std::vector<KernelCandidate> matmul_candidates() {
  return {{"product", MatmulKernel<spec>::probe, MatmulKernel<spec>::make}};
}

struct GradBiasKernel : Kernel {
  explicit GradBiasKernel(const KernelQuery& query)
      : rows(query.inputs[0].shape[0]),
        columns(query.inputs[0].shape[1]),
        blocks(rows),
        bf16(query.inputs[0].dtype == DType::bf16),
        accumulate(query.attrs.integer_or("accumulate", 0) != 0) {}
  static const char* probe(const KernelQuery&) { return nullptr; }
  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<GradBiasKernel>(query);
  }
  std::int64_t workspace_bytes() const override { return blocks.workspace_bytes(columns); }
  Status launch(const KernelArgs& args) const noexcept override {
    const LinearKernels& table = select_isa(isa_baseline::linear_kernels, isa_avx2::linear_kernels,
                                            isa_avx512::linear_kernels);
    parallel_for(rows, blocks.rows_each, [&](std::int64_t begin, std::int64_t end) {
      table.sum_rows[bf16](args.inputs[0], columns, begin, end,
                           blocks.part(args.workspace, begin, columns));
    });
    blocks.add_up(args.workspace, columns, 0, columns, accumulate,
                  static_cast<float*>(args.outputs[0]));
    return {};
  }

  std::int64_t rows, columns;
  RowBlocks blocks;
  bool bf16, accumulate;
};

// Generating reads every weight for one row: the memory's rate, which a blocked product misses
// (it reorders w or leaves a thread idle).
struct FewRowsKernel : Kernel {
  explicit FewRowsKernel(const KernelQuery& query)
      : x(query.inputs[0]), out(query.inputs[1].shape[0]), y(query.outputs[0].dtype) {}
  static const char* probe(const KernelQuery& query) {
    const std::int64_t rows = query.inputs[0].shape[0];
    return rows <= kMostFewRows ? nullptr : "more than four rows are a blocked product's";
  }
  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<FewRowsKernel>(query);
  }
  Status launch(const KernelArgs& args) const noexcept override {
    const LinearKernels& table = select_isa(isa_baseline::linear_kernels, isa_avx2::linear_kernels,
                                            isa_avx512::linear_kernels);
    const auto run = x.dtype == DType::f32 ? table.few_rows_f32
                     : y == DType::f32     ? table.few_rows_bf16_to_f32
                                           : table.few_rows_bf16;
    const FewRows product{
        args.inputs[0],
        args.inputs[1],
        args.inputs.size() == 3 ? static_cast<const float*>(args.inputs[2]) : nullptr,
        args.outputs[0],
        x.shape[0],
        x.shape[1],
        out};
    // One run per thread: memory gives two long streams up to twice what it gives to threads that
    // take turns along one. An output's bits do not hang on the run it is in.
    const std::int64_t each = (out + thread_count() - 1) / thread_count();
    parallel_for(out, each,
                 [&](std::int64_t begin, std::int64_t end) { run(product, begin, end); });
    return {};
  }

  ValueType x;
  std::int64_t out;
  DType y;
};

}  // namespace

std::vector<KernelCandidate> linear_kernels() {
  std::vector<KernelCandidate> list = {{"few rows", FewRowsKernel::probe, FewRowsKernel::make}};
  for (const KernelCandidate& candidate : matmul_candidates<forward_spec>())
    list.push_back(candidate);
  return list;
}

std::vector<KernelCandidate> linear_grad_input_kernels() {
  return matmul_candidates<grad_input_spec>();
}

std::vector<KernelCandidate> linear_grad_weight_kernels() {
  return matmul_candidates<grad_weight_spec>();
}

std::vector<KernelCandidate> linear_grad_bias_kernels() {
  return {{"vector", GradBiasKernel::probe, GradBiasKernel::make}};
}

}  // namespace outsize
