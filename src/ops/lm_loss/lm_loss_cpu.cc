#include "ops/lm_loss/lm_loss_cpu.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "core/parts.h"
#include "ops/lm_loss/lm_loss.h"
#include "ops/lm_loss/lm_loss_chunk.h"

namespace outsize {
namespace {

constexpr std::int64_t kRowsPerTask = 64;
// A chunk takes all weights, and their gradient, through memory once: as long as so many rows take
// to multiply. With AMX it is twice as many, with slower products fewer.
constexpr std::int64_t kRowsOfPass = 128;

class LossKernel : public Kernel {
 public:
  LossKernel(const KernelQuery& query, bool with_gradient)
      : sizes_(query),
        with_gradient_(with_gradient),
        accumulate_(query.attrs.integer_or("accumulate", 0) != 0) {
    for (std::int64_t rows = sizes_.chunk_rows; rows >= kLmLossSmallestChunk; rows /= 2) {
      chunks_.emplace_back(sizes_, rows, with_gradient);
      chunk_rows_.push_back(rows);
      product_bytes_ = std::max(product_bytes_, chunks_.back().workspace_bytes());
    }
  }

  std::int64_t workspace_bytes() const override {
    return LmLossScratch(sizes_, with_gradient_, product_bytes_, nullptr).bytes;
  }

  Status launch(const KernelArgs& args) const noexcept override {
    const LmLossScratch scratch(sizes_, with_gradient_, product_bytes_, args.workspace);
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
      const LmLossProducts& chunk = chunks_[next_part(chunk_rows_, kRowsOfPass, count - done)];
      const std::int64_t rows = std::min(chunk.rows, count - done);
      const LmLossChunk part(sizes_, args, scratch, chunk, done, rows);
      Status status = part.forward(with_gradient_);
      if (status.ok() && with_gradient_) status = part.backward(accumulate_ || done > 0);
      if (!status.ok()) return status;
      for (std::int64_t r = 0; r < rows; ++r) loss += scratch.losses[r];
      done += rows;
    }
    *static_cast<double*>(args.outputs[with_gradient_ ? 2 : 0]) = loss;
    return {};
  }

 private:
  void clear_gradients(const KernelArgs& args, std::int64_t count) const {
    auto clear = [](void* target, std::int64_t rows, std::int64_t row_bytes) {
      parallel_for(rows, kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
        std::memset(static_cast<char*>(target) + begin * row_bytes, 0,
                    static_cast<size_t>((end - begin) * row_bytes));
      });
    };
    if (count < sizes_.rows) clear(args.outputs[0], sizes_.rows, sizes_.row_bytes());
    if (count == 0 && !accumulate_) clear(args.outputs[1], sizes_.vocabulary, sizes_.width * 4);
  }

  LmLossSizes sizes_;
  bool with_gradient_, accumulate_;
  std::vector<LmLossProducts> chunks_;
  std::vector<std::int64_t> chunk_rows_;  // of each, in descending order
  std::int64_t product_bytes_ = 0;
};

const char* probe(const KernelQuery& query) {
  return matmul_unsupported(
      lm_loss_logits_spec(LmLossSizes(query), kLmLossSmallestChunk, kLmLossSmallestChunk));
}

template <bool with_gradient>
std::unique_ptr<Kernel> make(const KernelQuery& query) {
  return std::make_unique<LossKernel>(query, with_gradient);
}

}  // namespace

std::vector<KernelCandidate> lm_loss_kernels() {
  return {{"products", probe, make<false>}};
}

std::vector<KernelCandidate> lm_loss_grad_kernels() {
  return {{"products", probe, make<true>}};
}

}  // namespace outsize
