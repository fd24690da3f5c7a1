// What the CPU kernels of lm_loss do with one chunk of rows, block by block of the vocabulary.
#pragma once

#include <algorithm>
#include <memory>

#include "backends/cpu/matmul.h"
#include "graph/op.h"
#include "ops/lm_loss/lm_loss.h"
#include "ops/lm_loss/lm_loss_simd.h"

namespace outsize {

// Rows of the smallest chunk.
constexpr std::int64_t kLmLossSmallestChunk = 16;

struct LmLossSizes {
  explicit LmLossSizes(const KernelQuery& query);

  std::int64_t rows, width, vocabulary;
  DType dtype;
  std::int64_t chunk_rows;  // of the largest chunk: no more than all rows fill

  std::int64_t row_bytes() const { return width * size_of(dtype); }
  std::int64_t blocks() const { return (vocabulary + kLmLossBlock - 1) / kLmLossBlock; }
  std::int64_t first_word(std::int64_t block) const { return block * kLmLossBlock; }
  std::int64_t words(std::int64_t block) const {
    return std::min(kLmLossBlock, vocabulary - first_word(block));
  }
};

// Logits of so many rows and words.
MatmulSpec lm_loss_logits_spec(const LmLossSizes& sizes, std::int64_t rows, std::int64_t words);

// The products of so many rows with so many words.
struct LmLossBlock {
  LmLossBlock(const LmLossSizes& sizes, std::int64_t rows, std::int64_t words, bool with_gradient);
  std::int64_t workspace_bytes() const;

  Matmul logits;
  std::unique_ptr<Matmul> dx, dw_first, dw_more;  // with gradient
};

// The products of one chunk size: with whole blocks, and with the last one if it is smaller.
struct LmLossProducts {
  LmLossProducts(const LmLossSizes& sizes, std::int64_t rows, bool with_gradient)
      : rows(rows),
        whole(sizes, rows, sizes.words(0), with_gradient),
        last(sizes, rows, sizes.words(sizes.blocks() - 1), with_gradient) {}
  std::int64_t workspace_bytes() const {
    return std::max(whole.workspace_bytes(), last.workspace_bytes());
  }

  std::int64_t rows;
  LmLossBlock whole, last;
};

// Where things lie in the workspace; with a null base only `bytes` means anything.
struct LmLossScratch {
  LmLossScratch(const LmLossSizes& sizes, bool with_gradient, std::int64_t product_bytes,
                void* base);

  std::int32_t* indices;     // of the rows that have a target
  char* x;                   // rows of a chunk
  float* target_logits;      // [row]
  double* losses;            // [row]
  SoftmaxPart* parts;        // [block][row]
  float* logits;             // of one block, [row][word]
  char* kept = nullptr;      // exponentials of every block in x's dtype, [block][row][word]
  float* dx = nullptr;       // [row][width]
  float* factors = nullptr;  // [block][row]: from exponentials to the gradient
  char* products;
  std::int64_t bytes;
};

// One chunk of rows on its way through the blocks.
class LmLossChunk {
 public:
  // Rows `first` to `first` + `rows` of those that have a target; products.rows or fewer, the
  // missing ones are zero. All references must outlive it.
  LmLossChunk(const LmLossSizes& sizes, const KernelArgs& args, const LmLossScratch& scratch,
              const LmLossProducts& products, std::int64_t first, std::int64_t rows);

  // The losses of the rows into the scratch, and what `backward` needs.
  Status forward(bool with_gradient) const;
  // Gradients of x and w into the outputs.
  Status backward(bool dw_accumulates) const;

 private:
  const LmLossBlock& of(std::int64_t block) const;
  const void* weights(std::int64_t block) const;
  std::int32_t target(std::int64_t row) const;
  // The place of the row's target in the block; none: −1.
  std::int64_t target_in(std::int64_t block, std::int64_t row) const;
  void gather() const;
  void take_parts(std::int64_t block, bool keep_exponentials) const;
  void join_parts(bool with_gradient) const;
  void join_parts_of(std::int64_t row, bool with_gradient) const;
  // The kept exponentials of a row of a block.
  char* kept(std::int64_t block, std::int64_t row) const;
  // (softmax − [v == target]) · dloss of a block, where its exponentials were kept.
  const void* logits_gradient(std::int64_t block) const;
  void scale_row(std::int64_t block, std::int64_t row) const;
  void scatter_dx() const;
  double dloss() const { return *static_cast<const double*>(args_.inputs[3]); }

  const LmLossSizes& sizes_;
  const KernelArgs& args_;
  const LmLossScratch& scratch_;
  const LmLossProducts& products_;
  const std::int32_t* indices_;
  std::int64_t rows_;
};

}  // namespace outsize
