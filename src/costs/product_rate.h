// How fast products go as training runs them: what is measured beside a disk's traffic.
#pragma once

#include <memory>

namespace outsize {

// A linear's forward and both gradients, 2,048 tokens and 2,048 x 2,048 weights, in bf16 where this
// processor multiplies it, else in f32. Keeps its operands (about 50 MiB in bf16).
class ProductRate {
 public:
  ProductRate();
  ~ProductRate();
  ProductRate(const ProductRate&) = delete;
  ProductRate& operator=(const ProductRate&) = delete;
  // GFLOP/s over about `seconds`, at least one round of the three. Every call follows one round
  // that is not counted: threads learn who is slower just now (core/balance.h).
  double gflops(double seconds);

 private:
  struct Products;
  std::unique_ptr<Products> products_;
};

}  // namespace outsize
