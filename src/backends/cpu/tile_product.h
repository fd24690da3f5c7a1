// Products of matrices on AMX's tile registers, on all threads. Of bf16 oneDNN has such products,
// too; these are faster (docs/PERFORMANCE.md, "On tile registers"). Of f32, which the registers do
// not know, an element is the sum of three of bf16, and six of their nine products are summed: what
// the other three would add is less than f32 can tell (the scheme of Henry, Tang and Heinecke,
// "Leveraging the bfloat16 Artificial Intelligence Datatype for Higher-Precision Computations",
// 2019).
#pragma once

#include <cstdint>

#include "backends/cpu/matmul.h"
#include "backends/cpu/tile_strip.h"

namespace outsize {

// Each element is summed in f32 in runs of up to 1,024 terms, these one after the other, so its
// bits do not hang on the threads or on how they share the work.
class TileProduct {
 public:
  // Whether the product runs so: a processor with tile registers that tests have not put aside; of
  // bf16 no more than 64 MiB to be turned over, of f32 16 rows and columns or more.
  static bool runs(const MatmulSpec& spec);

  // runs(spec), and nothing of it is empty.
  explicit TileProduct(const MatmulSpec& spec);

  std::int64_t workspace_bytes() const { return turned_bytes() + shares() * scratch_each_; }
  // As Matmul::run.
  void run(const void* a, const void* b, const float* bias, void* c,
           void* workspace) const noexcept;

 private:
  bool is_f32() const { return spec_.operand == DType::f32; }
  std::int64_t turned_bytes() const;
  // Threads' shares of the strips, each with scratch of its own.
  std::int64_t shares() const;
  void choose_strip();
  std::int64_t strips_down() const { return (rows_ + strip_rows_ - 1) / strip_rows_; }
  std::int64_t strips() const;
  TileLeft left_way(const TileSource& left) const;
  void turn_left(const TileSource& left, void* to) const noexcept;

  // A place among the strips, one after the other: within a strip, rows or columns of it lie before
  // it (cuts_columns()).
  struct Place {
    std::int64_t strip = 0, offset = 0;
  };
  struct Area {
    std::int64_t row = 0, column = 0, rows = 0, columns = 0;
    std::int64_t size() const { return rows * columns; }
  };
  struct Operands;
  Area strip_area(std::int64_t strip) const;
  bool cuts_columns() const;
  Place place_after(double share) const;
  // Of strips from one place to the other, each or what of it lies between them.
  template <class Body>
  void for_each_area(Place begin, Place end, Body&& body) const;
  void multiply(const Operands& operands, const Area& area, char* scratch) const noexcept;

  MatmulSpec spec_;
  bool swapped_;                 // cᵀ = bᵀ·a instead of c = a·b
  bool left_is_turned_;          // its depth comes first in memory, and it is put right beforehand
  std::int64_t rows_, columns_;  // of what is computed: c or cᵀ
  std::int64_t depth_each_;      // summed at one go
  std::int64_t strip_rows_ = 0, strip_columns_ = 0;
  std::int64_t strips_each_ = 0;  // per thread
  std::int64_t scratch_each_ = 0;
};

}  // namespace outsize
