// Splits attention into tasks for the vector kernels. The partition follows from shapes alone.
#include "ops/attention/attention_cpu.h"

#include <algorithm>

#include "core/parallel.h"
#include "ops/attention/attention_check.h"
#include "ops/attention/attention_simd.h"
#include "ops/attention/attention_tasks.h"

namespace outsize {
namespace {

const char* probe(const KernelQuery& query) {
  const DType dtype = query.inputs[0].dtype;
  return dtype == DType::f32 || dtype == DType::bf16 ? nullptr : "only f32 and bf16";
}

std::int64_t rows_of(const KernelQuery& query, std::int64_t tokens) {
  const std::int64_t length = query.attrs.integer_or("row_length", 0);
  return length > 0 ? tokens / length : 1;
}

// Token t of a tensor with `width` elements per token.
const void* at_token(const void* base, std::int64_t t, std::int64_t width, DType dtype) {
  return static_cast<const char*>(base) + t * width * size_of(dtype);
}
void* at_token(void* base, std::int64_t t, std::int64_t width, DType dtype) {
  return static_cast<char*>(base) + t * width * size_of(dtype);
}

// What forward and backward share: the split into rows and the check of document_start.
struct Rows {
  Rows(const KernelQuery& query, const ValueType& q)
      : shape(attention_shape("attention", query.attrs)),
        dtype(q.dtype),
        tokens(q.shape[0]),
        count(rows_of(query, tokens)),
        length(count > 0 ? tokens / count : 0),
        slots(thread_count()) {}

  AttentionRow row(std::int64_t r, const void* q, const void* k, const void* v,
                   const void* document_start) const {
    const std::int64_t begin = r * length;
    return {.shape = shape,
            .queries = length,
            .past = 0,
            .document_start = static_cast<const std::int32_t*>(document_start) + begin,
            .row_begin = static_cast<std::int32_t>(begin),
            .q = at_token(q, begin, shape.heads * shape.head_dim, dtype),
            .k = at_token(k, begin, shape.kv_heads * shape.head_dim, dtype),
            .v = at_token(v, begin, shape.kv_heads * shape.head_dim, dtype)};
  }

  Status check(const void* document_start) const {
    const auto* start = static_cast<const std::int32_t*>(document_start);
    for (std::int64_t i = 0; i < tokens; ++i)
      if (start[i] < i / length * length || start[i] > i)
        return Status("[attention] document_start leaves its row or lies ahead of its token");
    return {};
  }

  AttentionShape shape;
  DType dtype;
  std::int64_t tokens, count, length, slots;
};

IsaTables<AttentionBackwardKernels> backward_tables(DType dtype) {
  if (dtype == DType::bf16)
    return {&isa_baseline::attention_backward_bf16, &isa_avx2::attention_backward_bf16,
            &isa_avx512::attention_backward_bf16, &isa_amx::attention_backward_bf16};
  return {&isa_baseline::attention_backward_f32, &isa_avx2::attention_backward_f32,
          &isa_avx512::attention_backward_f32, &isa_amx::attention_backward_f32};
}

class ForwardKernel : public Kernel {
 public:
  explicit ForwardKernel(const KernelQuery& query)
      : rows_(query, query.inputs[0]),
        kernels_(attention_forward_tables(rows_.dtype)),
        slot_bytes_(kernels_.largest(
            [&](const auto& table) { return table.scratch_bytes(rows_.shape, rows_.length); })) {}

  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<ForwardKernel>(query);
  }

  std::int64_t workspace_bytes() const override { return rows_.slots * slot_bytes_; }

  Status launch(const KernelArgs& args) const noexcept override {
    if (Status status = rows_.check(args.inputs[3]); !status.ok()) return status;
    const std::int64_t span = kernels_.active().span(rows_.shape, rows_.length);
    const std::int64_t blocks = (rows_.length + span - 1) / span;
    const std::int64_t per_block = rows_.count * rows_.shape.kv_heads;
    run_tasks(blocks * per_block, rows_.slots, [&](std::int64_t task, std::int64_t slot) {
      // The last blocks see most keys: begin with them, so that the threads end together.
      const std::int64_t begin = (blocks - 1 - task / per_block) * span;
      const std::int64_t r = task % per_block / rows_.shape.kv_heads;
      const std::int64_t first_token = r * rows_.length;
      const AttentionForward forward{
          rows_.row(r, args.inputs[0], args.inputs[1], args.inputs[2], args.inputs[3]),
          at_token(args.outputs[0], first_token, rows_.shape.heads * rows_.shape.head_dim,
                   rows_.dtype),
          static_cast<float*>(args.outputs[1]) + first_token * rows_.shape.heads};
      kernels_.active().run(forward, task % rows_.shape.kv_heads, begin,
                            std::min(begin + span, rows_.length),
                            static_cast<char*>(args.workspace) + slot * slot_bytes_);
    });
    return {};
  }

 private:
  Rows rows_;
  IsaTables<AttentionForwardKernels> kernels_;
  std::int64_t slot_bytes_;
};

// A task is (row, kv head, part of its query heads). Where rows and kv heads give few tasks, the
// query heads of a kv head are split into parts, each with its own sums of dk and dv, added
// afterwards in order; with one part the sums live in the scratch of the slot.
class BackwardKernel : public Kernel {
 public:
  explicit BackwardKernel(const KernelQuery& query)
      : rows_(query, query.inputs[1]),
        kernels_(backward_tables(rows_.dtype)),
        parts_(parts_of(rows_)),
        sum_words_(2 * attention_sum_words(rows_.shape.head_dim, rows_.length)),
        slot_bytes_(kernels_.largest(
            [&](const auto& table) { return table.scratch_bytes(rows_.shape, rows_.length); })) {}

  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<BackwardKernel>(query);
  }

  std::int64_t workspace_bytes() const override {
    const std::int64_t sums = parts_ == 1 ? rows_.slots : tasks();
    return rows_.slots * slot_bytes_ + sums * sum_bytes();
  }

  Status launch(const KernelArgs& args) const noexcept override {
    if (Status status = rows_.check(args.inputs[6]); !status.ok()) return status;
    if (rows_.tokens == 0) return {};
    float* sums =
        reinterpret_cast<float*>(static_cast<char*>(args.workspace) + rows_.slots * slot_bytes_);
    const std::int64_t group = rows_.shape.heads / rows_.shape.kv_heads;
    run_tasks(tasks(), rows_.slots, [&](std::int64_t task, std::int64_t slot) {
      const std::int64_t part = task % parts_, pair = task / parts_;
      const std::int64_t kv_head = pair % rows_.shape.kv_heads;
      const AttentionBackward backward = arguments(args, pair / rows_.shape.kv_heads);
      const AttentionHeads heads{kv_head, kv_head * group + part * group / parts_,
                                 kv_head * group + (part + 1) * group / parts_};
      float* own = sums + (parts_ == 1 ? slot : task) * sum_words_;
      kernels_.active().run(backward, heads, own,
                            static_cast<char*>(args.workspace) + slot * slot_bytes_);
      if (parts_ == 1) kernels_.active().write_sums(backward, kv_head, own, 1, 0, 0, rows_.length);
    });
    if (parts_ > 1) add_parts(args, sums);
    return {};
  }

 private:
  // Enough for the threads of a small machine, whatever the number of threads here: the partition
  // decides how dk and dv are grouped, and must not change with it.
  static constexpr std::int64_t kTasksWanted = 8;

  static std::int64_t parts_of(const Rows& rows) {
    const std::int64_t pairs = std::max<std::int64_t>(1, rows.count * rows.shape.kv_heads);
    const std::int64_t group = rows.shape.heads / rows.shape.kv_heads;
    return std::min(group, (kTasksWanted + pairs - 1) / pairs);
  }

  std::int64_t tasks() const { return rows_.count * rows_.shape.kv_heads * parts_; }
  std::int64_t sum_bytes() const { return sum_words_ * static_cast<std::int64_t>(sizeof(float)); }

  AttentionBackward arguments(const KernelArgs& args, std::int64_t r) const {
    const std::int64_t token = r * rows_.length;
    const std::int64_t q_width = rows_.shape.heads * rows_.shape.head_dim;
    const std::int64_t kv_width = rows_.shape.kv_heads * rows_.shape.head_dim;
    const bool has_dlse = args.inputs.size() == 8;
    return {.row = rows_.row(r, args.inputs[1], args.inputs[2], args.inputs[3], args.inputs[6]),
            .dout = at_token(args.inputs[0], token, q_width, rows_.dtype),
            .out = at_token(args.inputs[4], token, q_width, rows_.dtype),
            .lse = static_cast<const float*>(args.inputs[5]) + token * rows_.shape.heads,
            .dlse = has_dlse ? static_cast<const float*>(args.inputs[7]) + token * rows_.shape.heads
                             : nullptr,
            .dq = at_token(args.outputs[0], token, q_width, rows_.dtype),
            .dk = at_token(args.outputs[1], token, kv_width, rows_.dtype),
            .dv = at_token(args.outputs[2], token, kv_width, rows_.dtype)};
  }

  void add_parts(const KernelArgs& args, const float* sums) const {
    const std::int64_t blocks = (rows_.length + kAttentionBlock - 1) / kAttentionBlock;
    const std::int64_t pairs = rows_.count * rows_.shape.kv_heads;
    parallel_for(pairs * blocks, 1, [&](std::int64_t task, std::int64_t) {
      const std::int64_t pair = task / blocks, begin = task % blocks * kAttentionBlock;
      kernels_.active().write_sums(arguments(args, pair / rows_.shape.kv_heads),
                                   pair % rows_.shape.kv_heads, sums + pair * parts_ * sum_words_,
                                   parts_, sum_words_, begin,
                                   std::min(begin + kAttentionBlock, rows_.length));
    });
  }

  Rows rows_;
  IsaTables<AttentionBackwardKernels> kernels_;
  std::int64_t parts_, sum_words_, slot_bytes_;
};

}  // namespace

IsaTables<AttentionForwardKernels> attention_forward_tables(DType dtype) {
  if (dtype == DType::bf16)
    return {&isa_baseline::attention_forward_bf16, &isa_avx2::attention_forward_bf16,
            &isa_avx512::attention_forward_bf16, &isa_amx::attention_forward_bf16};
  return {&isa_baseline::attention_forward_f32, &isa_avx2::attention_forward_f32,
          &isa_avx512::attention_forward_f32, &isa_amx::attention_forward_f32};
}

std::vector<KernelCandidate> attention_kernels() {
  return {{"blocked", probe, ForwardKernel::make}};
}

std::vector<KernelCandidate> attention_grad_kernels() {
  return {{"blocked", probe, BackwardKernel::make}};
}

}  // namespace outsize
