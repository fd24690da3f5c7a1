#include "ops/lm_loss/lm_loss_cpu.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/matmul.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "ops/lm_loss/lm_loss.h"
#include "ops/lm_loss/lm_loss_simd.h"

namespace outsize {
namespace {

constexpr std::int64_t kSmallestChunk = 16;

struct Sizes {
  explicit Sizes(const KernelQuery& query)
      : rows(query.inputs[0].shape[0]),
        width(query.inputs[0].shape[1]),
        vocabulary(query.inputs[1].shape[0]),
        dtype(query.inputs[0].dtype),
        chunk_rows(query.attrs.integer_or("chunk_rows", lm_loss_default_chunk_rows(vocabulary))) {}

  std::int64_t rows, width, vocabulary;
  DType dtype;
  std::int64_t chunk_rows;

  std::int64_t row_bytes() const { return width * size_of(dtype); }
};

MatmulSpec logits_spec(const Sizes& s, std::int64_t chunk) {
  return {.m = chunk,
          .n = s.vocabulary,
          .k = s.width,
          .operand = s.dtype,
          .result = DType::f32,
          .transpose_b = true};
}

MatmulSpec dx_spec(const Sizes& s, std::int64_t chunk) {
  return {.m = chunk, .n = s.width, .k = s.vocabulary, .operand = s.dtype, .result = s.dtype};
}

MatmulSpec dw_spec(const Sizes& s, std::int64_t chunk, bool accumulate) {
  return {.m = s.vocabulary,
          .n = s.width,
          .k = chunk,
          .operand = s.dtype,
          .result = DType::f32,
          .transpose_a = true,
          .accumulate = accumulate};
}

// The products of one chunk size.
struct ChunkProducts {
  ChunkProducts(const Sizes& s, std::int64_t rows, bool with_gradient)
      : rows(rows), logits(logits_spec(s, rows)) {
    if (!with_gradient) return;
    dx = std::make_unique<Matmul>(dx_spec(s, rows));
    dw_first = std::make_unique<Matmul>(dw_spec(s, rows, false));
    dw_more = std::make_unique<Matmul>(dw_spec(s, rows, true));
  }
  std::int64_t workspace_bytes() const {
    std::int64_t bytes = logits.workspace_bytes();
    for (const auto* product : {&dx, &dw_first, &dw_more})
      if (*product) bytes = std::max(bytes, (*product)->workspace_bytes());
    return bytes;
  }

  std::int64_t rows;
  Matmul logits;
  std::unique_ptr<Matmul> dx, dw_first, dw_more;
};

// Bump allocation out of the workspace; with a null base it only counts.
class Carver {
 public:
  explicit Carver(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* take(std::int64_t bytes) {
    char* at = base_ ? base_ + used_ : nullptr;
    used_ += (bytes + 63) / 64 * 64;
    return reinterpret_cast<T*>(at);
  }
  std::int64_t used() const { return used_; }

 private:
  char* base_;
  std::int64_t used_ = 0;
};

struct Scratch {
  Scratch(const Sizes& s, std::int64_t product_bytes, void* base) {
    Carver carver(base);
    indices = carver.take<std::int32_t>(s.rows * 4);
    losses = carver.take<double>(s.chunk_rows * 8);
    x = carver.take<char>(s.chunk_rows * s.row_bytes());
    dx = carver.take<char>(s.chunk_rows * s.row_bytes());
    logits = carver.take<float>(s.chunk_rows * s.vocabulary * 4);
    products = carver.take<char>(product_bytes);
    bytes = carver.used();
  }
  std::int32_t* indices;
  double* losses;
  char *x, *dx;
  float* logits;
  char* products;
  std::int64_t bytes;
};

class LossKernel : public Kernel {
 public:
  LossKernel(const KernelQuery& query, bool with_gradient)
      : sizes_(query),
        with_gradient_(with_gradient),
        accumulate_(query.attrs.integer_or("accumulate", 0) != 0) {
    for (std::int64_t rows = sizes_.chunk_rows; rows >= kSmallestChunk; rows /= 2)
      chunks_.emplace_back(sizes_, rows, with_gradient);
    for (const ChunkProducts& chunk : chunks_)
      product_bytes_ = std::max(product_bytes_, chunk.workspace_bytes());
  }

  std::int64_t workspace_bytes() const override {
    return Scratch(sizes_, product_bytes_, nullptr).bytes;
  }

  Status launch(const KernelArgs& args) const noexcept override {
    Scratch scratch(sizes_, product_bytes_, args.workspace);
    const auto* targets = static_cast<const std::int32_t*>(args.inputs[2]);
    std::int64_t count = 0;
    for (std::int64_t n = 0; n < sizes_.rows; ++n) {
      if (targets[n] >= sizes_.vocabulary)
        return Status("lm_loss: a target lies outside the vocabulary");
      if (targets[n] >= 0) scratch.indices[count++] = static_cast<std::int32_t>(n);
    }
    double loss = 0;
    if (with_gradient_) clear_gradients(args, count);
    for (std::int64_t done = 0; done < count;) {
      const ChunkProducts& chunk = chunk_for(count - done);
      const std::int64_t rows = std::min(chunk.rows, count - done);
      const Status status = run_chunk(args, scratch, chunk, done, rows);
      if (!status.ok()) return status;
      for (std::int64_t r = 0; r < rows; ++r) loss += scratch.losses[r];
      done += rows;
    }
    *static_cast<double*>(args.outputs[with_gradient_ ? 2 : 0]) = loss;
    return {};
  }

 private:
  // The largest chunk that `left` rows fill, else the smallest (whose missing rows are zero).
  const ChunkProducts& chunk_for(std::int64_t left) const {
    for (const ChunkProducts& chunk : chunks_)
      if (chunk.rows <= left) return chunk;
    return chunks_.back();
  }

  void clear_gradients(const KernelArgs& args, std::int64_t count) const {
    constexpr std::int64_t kRowsPerTask = 64;
    auto clear = [](void* target, std::int64_t rows, std::int64_t row_bytes) {
      parallel_for(rows, kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
        std::memset(static_cast<char*>(target) + begin * row_bytes, 0,
                    static_cast<size_t>((end - begin) * row_bytes));
      });
    };
    if (count < sizes_.rows) clear(args.outputs[0], sizes_.rows, sizes_.row_bytes());
    if (count == 0 && !accumulate_) clear(args.outputs[1], sizes_.vocabulary, sizes_.width * 4);
  }

  Status run_chunk(const KernelArgs& args, const Scratch& scratch, const ChunkProducts& chunk,
                   std::int64_t first, std::int64_t rows) const {
    const std::int64_t bytes = sizes_.row_bytes();
    const std::int32_t* indices = scratch.indices + first;
    for (std::int64_t r = 0; r < chunk.rows; ++r) {
      char* row = scratch.x + r * bytes;
      if (r < rows)
        std::memcpy(row, static_cast<const char*>(args.inputs[0]) + indices[r] * bytes,
                    static_cast<size_t>(bytes));
      else
        std::memset(row, 0, static_cast<size_t>(bytes));
    }
    Status status =
        chunk.logits.run(scratch.x, args.inputs[1], nullptr, scratch.logits, scratch.products);
    if (!status.ok()) return status;
    losses(args, scratch, indices, chunk.rows, rows);
    if (!with_gradient_) return {};
    if (sizes_.dtype == DType::bf16) close_gaps(scratch.logits, chunk.rows);
    status = chunk.dx->run(scratch.logits, args.inputs[1], nullptr, scratch.dx, scratch.products);
    if (!status.ok()) return status;
    for (std::int64_t r = 0; r < rows; ++r)
      std::memcpy(static_cast<char*>(args.outputs[0]) + indices[r] * bytes, scratch.dx + r * bytes,
                  static_cast<size_t>(bytes));
    const Matmul& dw = first == 0 && !accumulate_ ? *chunk.dw_first : *chunk.dw_more;
    return dw.run(scratch.logits, scratch.x, nullptr, args.outputs[1], scratch.products);
  }

  // bf16 rows lie in the first halves of f32 rows. oneDNN has no kernel for rows apart from each
  // other that keeps to the workspace, so they move together: rows [n, 2n) to where rows [n/2, n)
  // were, all of them at once.
  void close_gaps(float* logits, std::int64_t rows) const {
    char* base = reinterpret_cast<char*>(logits);
    const std::int64_t wide = sizes_.vocabulary * 4, narrow = sizes_.vocabulary * 2;
    for (std::int64_t first = 1; first < rows; first *= 2)
      parallel_for(std::min(first, rows - first), 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t r = first + begin; r < first + end; ++r)
          std::memcpy(base + r * narrow, base + r * wide, static_cast<size_t>(narrow));
      });
  }

  void losses(const KernelArgs& args, const Scratch& scratch, const std::int32_t* indices,
              std::int64_t chunk_rows, std::int64_t rows) const {
    const LmLossKernels& table = select_isa(isa_baseline::lm_loss_kernels,
                                            isa_avx2::lm_loss_kernels, isa_avx512::lm_loss_kernels);
    const auto* targets = static_cast<const std::int32_t*>(args.inputs[2]);
    const float scale =
        with_gradient_ ? static_cast<float>(*static_cast<const double*>(args.inputs[3])) : 0.0f;
    parallel_for(chunk_rows, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        float* row = scratch.logits + r * sizes_.vocabulary;
        if (r >= rows) {  // padding rows of the smallest chunk: no gradient
          if (with_gradient_) std::memset(row, 0, static_cast<size_t>(sizes_.vocabulary) * 4);
          continue;
        }
        const std::int32_t target = targets[indices[r]];
        if (!with_gradient_)
          scratch.losses[r] = table.loss(row, sizes_.vocabulary, target);
        else if (sizes_.dtype == DType::bf16)
          scratch.losses[r] = table.loss_grad_bf16(row, sizes_.vocabulary, target, scale);
        else
          scratch.losses[r] = table.loss_grad_f32(row, sizes_.vocabulary, target, scale);
      }
    });
  }

  Sizes sizes_;
  bool with_gradient_, accumulate_;
  std::vector<ChunkProducts> chunks_;
  std::int64_t product_bytes_ = 0;
};

const char* probe(const KernelQuery& query) {
  return matmul_unsupported(logits_spec(Sizes(query), kSmallestChunk));
}

template <bool with_gradient>
std::unique_ptr<Kernel> make(const KernelQuery& query) {
  return std::make_unique<LossKernel>(query, with_gradient);
}

}  // namespace

std::vector<KernelCandidate> lm_loss_kernels() {
  return {{"onednn", probe, make<false>}};
}

std::vector<KernelCandidate> lm_loss_grad_kernels() {
  return {{"onednn", probe, make<true>}};
}

}  // namespace outsize
