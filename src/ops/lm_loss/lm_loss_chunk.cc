#include "ops/lm_loss/lm_loss_chunk.h"

#include <cmath>
#include <cstring>

#include "core/half.h"
#include "core/isa.h"
#include "core/parallel.h"

namespace outsize {
namespace {

constexpr std::int64_t kRowsPerTask = 16;
// A larger gradient has left the caches before anybody reads it.
constexpr std::int64_t kCachedGradientBytes = std::int64_t{64} << 20;

MatmulSpec dx_spec(const LmLossSizes& s, std::int64_t rows, std::int64_t words) {
  return {.m = rows,
          .n = s.width,
          .k = words,
          .operand = s.dtype,
          .result = DType::f32,
          .accumulate = true};
}

MatmulSpec dw_spec(const LmLossSizes& s, std::int64_t rows, std::int64_t words, bool accumulate) {
  return {.m = words,
          .n = s.width,
          .k = rows,
          .operand = s.dtype,
          .result = DType::f32,
          .transpose_a = true,
          .accumulate = accumulate,
          .past_caches = s.vocabulary * s.width * 4 > kCachedGradientBytes};
}

// Bump allocation out of the workspace; with a null base it only counts.
class Carver {
 public:
  explicit Carver(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* take(std::int64_t count) {
    char* at = base_ ? base_ + used_ : nullptr;
    used_ += (count * static_cast<std::int64_t>(sizeof(T)) + 63) / 64 * 64;
    return reinterpret_cast<T*>(at);
  }
  std::int64_t used() const { return used_; }

 private:
  char* base_;
  std::int64_t used_ = 0;
};

const LmLossKernels& vector_kernels() {
  return select_isa(isa_baseline::lm_loss_kernels, isa_avx2::lm_loss_kernels,
                    isa_avx512::lm_loss_kernels);
}

}  // namespace

LmLossSizes::LmLossSizes(const KernelQuery& query)
    : rows(query.inputs[0].shape[0]),
      width(query.inputs[0].shape[1]),
      vocabulary(query.inputs[1].shape[0]),
      dtype(query.inputs[0].dtype),
      chunk_rows(
          query.attrs.integer_or("chunk_rows", lm_loss_default_chunk_rows(vocabulary, dtype))) {
  while (chunk_rows / 2 >= std::max(rows, kLmLossSmallestChunk)) chunk_rows /= 2;
}

MatmulSpec lm_loss_logits_spec(const LmLossSizes& sizes, std::int64_t rows, std::int64_t words) {
  return {.m = rows,
          .n = words,
          .k = sizes.width,
          .operand = sizes.dtype,
          .result = DType::f32,
          .transpose_b = true};
}

LmLossBlock::LmLossBlock(const LmLossSizes& sizes, std::int64_t rows, std::int64_t words,
                         bool with_gradient)
    : logits(lm_loss_logits_spec(sizes, rows, words)) {
  if (!with_gradient) return;
  dx = std::make_unique<Matmul>(dx_spec(sizes, rows, words));
  dw_first = std::make_unique<Matmul>(dw_spec(sizes, rows, words, false));
  dw_more = std::make_unique<Matmul>(dw_spec(sizes, rows, words, true));
}

std::int64_t LmLossBlock::workspace_bytes() const {
  std::int64_t bytes = logits.workspace_bytes();
  for (const auto* product : {&dx, &dw_first, &dw_more})
    if (*product) bytes = std::max(bytes, (*product)->workspace_bytes());
  return bytes;
}

LmLossScratch::LmLossScratch(const LmLossSizes& s, bool with_gradient, std::int64_t product_bytes,
                             void* base) {
  Carver carver(base);
  const std::int64_t block = s.words(0);
  indices = carver.take<std::int32_t>(s.rows);
  x = carver.take<char>(s.chunk_rows * s.row_bytes());
  target_logits = carver.take<float>(s.chunk_rows);
  losses = carver.take<double>(s.chunk_rows);
  parts = carver.take<SoftmaxPart>(s.chunk_rows * s.blocks());
  logits = carver.take<float>(s.chunk_rows * block);
  if (with_gradient) {
    kept = carver.take<char>(s.chunk_rows * s.vocabulary * size_of(s.dtype));
    dx = carver.take<float>(s.chunk_rows * s.width);
    factors = carver.take<float>(s.chunk_rows * s.blocks());
  }
  products = carver.take<char>(product_bytes);
  bytes = carver.used();
}

LmLossChunk::LmLossChunk(const LmLossSizes& sizes, const KernelArgs& args,
                         const LmLossScratch& scratch, const LmLossProducts& products,
                         std::int64_t first, std::int64_t rows)
    : sizes_(sizes),
      args_(args),
      scratch_(scratch),
      products_(products),
      indices_(scratch.indices + first),
      rows_(rows) {
  gather();
}

// Each block's logits become what is needed of them while they lie in the cache.
Status LmLossChunk::forward(bool with_gradient) const {
  for (std::int64_t b = 0; b < sizes_.blocks(); ++b) {
    Status status =
        of(b).logits.run(scratch_.x, weights(b), nullptr, scratch_.logits, scratch_.products);
    if (!status.ok()) return status;
    take_parts(b, with_gradient);
  }
  join_parts(with_gradient);
  return {};
}

// Blocks in reverse: those of the end are still in the cache.
Status LmLossChunk::backward(bool dw_accumulates) const {
  std::memset(scratch_.dx, 0, static_cast<size_t>(products_.rows * sizes_.width) * sizeof(float));
  for (std::int64_t b = sizes_.blocks() - 1; b >= 0; --b) {
    const void* gradient = logits_gradient(b);
    Status status = of(b).dx->run(gradient, weights(b), nullptr, scratch_.dx, scratch_.products);
    if (!status.ok()) return status;
    const Matmul& dw = dw_accumulates ? *of(b).dw_more : *of(b).dw_first;
    float* rows = static_cast<float*>(args_.outputs[1]) + sizes_.first_word(b) * sizes_.width;
    status = dw.run(gradient, scratch_.x, nullptr, rows, scratch_.products);
    if (!status.ok()) return status;
  }
  scatter_dx();
  return {};
}

const LmLossBlock& LmLossChunk::of(std::int64_t block) const {
  return block + 1 < sizes_.blocks() ? products_.whole : products_.last;
}

const void* LmLossChunk::weights(std::int64_t block) const {
  return static_cast<const char*>(args_.inputs[1]) + sizes_.first_word(block) * sizes_.row_bytes();
}

std::int32_t LmLossChunk::target(std::int64_t row) const {
  return static_cast<const std::int32_t*>(args_.inputs[2])[indices_[row]];
}

std::int64_t LmLossChunk::target_in(std::int64_t block, std::int64_t row) const {
  const std::int64_t word = target(row) - sizes_.first_word(block);
  return word >= 0 && word < sizes_.words(block) ? word : -1;
}

void LmLossChunk::gather() const {
  const std::int64_t bytes = sizes_.row_bytes();
  for (std::int64_t r = 0; r < rows_; ++r)
    std::memcpy(scratch_.x + r * bytes,
                static_cast<const char*>(args_.inputs[0]) + indices_[r] * bytes,
                static_cast<size_t>(bytes));
  std::memset(scratch_.x + rows_ * bytes, 0, static_cast<size_t>((products_.rows - rows_) * bytes));
}

void LmLossChunk::take_parts(std::int64_t block, bool keep_exponentials) const {
  const LmLossKernels& table = vector_kernels();
  auto* exponentials = table.exponentials[sizes_.dtype == DType::bf16];
  const std::int64_t words = sizes_.words(block);
  parallel_for(rows_, kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const float* logits = scratch_.logits + r * words;
      if (const std::int64_t word = target_in(block, r); word >= 0)
        scratch_.target_logits[r] = logits[word];
      scratch_.parts[block * sizes_.chunk_rows + r] =
          keep_exponentials ? exponentials(logits, words, kept(block, r))
                            : table.part(logits, words);
    }
  });
}

void LmLossChunk::join_parts(bool with_gradient) const {
  parallel_for(rows_, kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) join_parts_of(r, with_gradient);
  });
}

void LmLossChunk::join_parts_of(std::int64_t row, bool with_gradient) const {
  const auto part = [&](std::int64_t b) -> const SoftmaxPart& {
    return scratch_.parts[b * sizes_.chunk_rows + row];
  };
  float top = part(0).top;
  for (std::int64_t b = 1; b < sizes_.blocks(); ++b) top = std::max(top, part(b).top);
  const auto share = [&](std::int64_t b) {
    return std::exp(static_cast<double>(part(b).top) - static_cast<double>(top));
  };
  double total = 0;
  for (std::int64_t b = 0; b < sizes_.blocks(); ++b) total += part(b).total * share(b);
  scratch_.losses[row] =
      std::log(total) + static_cast<double>(top) - static_cast<double>(scratch_.target_logits[row]);
  if (!with_gradient) return;
  for (std::int64_t b = 0; b < sizes_.blocks(); ++b)
    scratch_.factors[b * sizes_.chunk_rows + row] = static_cast<float>(dloss() * share(b) / total);
}

char* LmLossChunk::kept(std::int64_t block, std::int64_t row) const {
  const std::int64_t before = products_.rows * sizes_.first_word(block) + row * sizes_.words(block);
  return scratch_.kept + before * size_of(sizes_.dtype);
}

const void* LmLossChunk::logits_gradient(std::int64_t block) const {
  parallel_for(products_.rows, kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) scale_row(block, r);
  });
  return kept(block, 0);
}

// At the target the difference is formed from what was not rounded yet.
void LmLossChunk::scale_row(std::int64_t block, std::int64_t row) const {
  char* values = kept(block, row);
  const std::int64_t words = sizes_.words(block);
  if (row >= rows_) {
    std::memset(values, 0, static_cast<size_t>(words * size_of(sizes_.dtype)));
    return;
  }
  const std::int64_t at = block * sizes_.chunk_rows + row;
  const float factor = scratch_.factors[at];
  vector_kernels().scale[sizes_.dtype == DType::bf16](values, words, factor);
  const std::int64_t word = target_in(block, row);
  if (word < 0) return;
  const float exponential = std::exp(scratch_.target_logits[row] - scratch_.parts[at].top);
  const float gradient = exponential * factor - static_cast<float>(dloss());
  if (sizes_.dtype == DType::bf16)
    reinterpret_cast<bf16*>(values)[word] = to_bf16(gradient);
  else
    reinterpret_cast<float*>(values)[word] = gradient;
}

void LmLossChunk::scatter_dx() const {
  const LmLossKernels& table = vector_kernels();
  for (std::int64_t r = 0; r < rows_; ++r) {
    const float* from = scratch_.dx + r * sizes_.width;
    char* to = static_cast<char*>(args_.outputs[0]) + indices_[r] * sizes_.row_bytes();
    if (sizes_.dtype == DType::bf16)
      table.narrow(from, sizes_.width, reinterpret_cast<std::uint16_t*>(to));
    else
      std::memcpy(to, from, static_cast<size_t>(sizes_.row_bytes()));
  }
}

}  // namespace outsize
