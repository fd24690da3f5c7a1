#include "costs/product_rate.h"

#include <algorithm>
#include <array>
#include <vector>

#include "backends/cpu/matmul.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/ordinary_numbers.h"
#include "storage/aligned_buffer.h"

namespace outsize {
namespace {

constexpr std::int64_t kSide = 2048, kElements = kSide * kSide;

MatmulSpec square(DType dtype) {
  return {.m = kSide, .n = kSide, .k = kSide, .operand = dtype, .result = dtype};
}

bool is_here(DType dtype) {
  return matmul_unsupported(square(dtype)) == nullptr;
}

std::uint64_t bytes_of(DType dtype) {
  return static_cast<std::uint64_t>(kElements * size_of(dtype));
}

}  // namespace

struct ProductRate::Products {
  DType dtype;
  AlignedBuffer x{bytes_of(dtype)}, weight{bytes_of(dtype)}, y{bytes_of(dtype)};
  AlignedBuffer gradient{bytes_of(DType::f32)};
  std::vector<Matmul> products;
  std::unique_ptr<AlignedBuffer> workspace;

  explicit Products(DType type) : dtype(type) {
    fill_ordinary(dtype, kElements, x.data());
    fill_ordinary(dtype, kElements, weight.data());
    MatmulSpec forward = square(dtype), input = forward, weights = forward;
    forward.transpose_b = true;
    weights.transpose_a = true;
    weights.result = DType::f32;
    std::int64_t bytes = 1;
    for (const MatmulSpec& spec : {forward, input, weights}) {
      products.emplace_back(spec);
      bytes = std::max(bytes, products.back().workspace_bytes());
    }
    workspace = std::make_unique<AlignedBuffer>(static_cast<std::uint64_t>(bytes));
  }

  void round() {
    const std::array<AlignedBuffer*, 3> results = {&y, &y, &gradient};
    for (size_t p = 0; p < results.size(); ++p) {
      const Status status =
          products[p].run(x.data(), weight.data(), nullptr, results[p]->data(), workspace->data());
      ensure(status.ok(), "[products] {}", status.message());
    }
  }
};

ProductRate::ProductRate() : ProductRate(is_here(DType::bf16) ? DType::bf16 : DType::f32) {}

ProductRate::ProductRate(DType dtype)
    : products_(is_here(dtype) ? std::make_unique<Products>(dtype) : nullptr) {}

ProductRate::~ProductRate() = default;

double ProductRate::gflops(double seconds) {
  constexpr double kFlops = 3 * 2.0 * kSide * kSide * kSide;
  if (!products_) return 0;
  products_->round();
  const double start = seconds_now();
  double elapsed = 0;
  int rounds = 0;
  for (; rounds == 0 || elapsed < seconds; ++rounds, elapsed = seconds_now() - start)
    products_->round();
  return kFlops * rounds / elapsed / 1e9;
}

}  // namespace outsize
