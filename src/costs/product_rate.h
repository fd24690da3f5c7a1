// How fast products go as training runs them, not as a library does by itself: what is measured
// beside a disk's traffic, and what a step's gain from threads is held against.
#pragma once

#include <memory>

#include "core/dtype.h"

namespace outsize {

// A linear's forward and both gradients, 2,048 tokens and 2,048 x 2,048 weights. Keeps its operands
// (about 50 MiB in bf16).
class ProductRate {
 public:
  // In bf16 where this processor multiplies it, else in f32.
  ProductRate();
  explicit ProductRate(DType dtype);  // f32 or bf16
  ~ProductRate();
  ProductRate(const ProductRate&) = delete;
  ProductRate& operator=(const ProductRate&) = delete;
  // 0 where this processor has no products of the dtype; else GFLOP/s over about `seconds`, at
  // least one round of the three. Every call follows one round that is not counted: threads learn
  // who is slower just now (core/balance.h).
  double gflops(double seconds);

 private:
  struct Products;
  std::unique_ptr<Products> products_;
};

}  // namespace outsize
