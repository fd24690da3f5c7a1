// Operands too large to be packed or turned over beforehand; all others are compared through the
// ops made of products (tests/ops).
#include "backends/cpu/matmul.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/half.h"

namespace outsize {
namespace {

std::vector<float> run(const MatmulSpec& spec, const std::vector<bf16>& a,
                       const std::vector<bf16>& b) {
  const Matmul product(spec);
  std::vector<float> c(static_cast<size_t>(spec.m * spec.n), -1.0f);
  std::vector<char> workspace(static_cast<size_t>(product.workspace_bytes()) + 64);
  char* aligned = workspace.data();
  while (reinterpret_cast<std::uintptr_t>(aligned) % 64 != 0) ++aligned;
  EXPECT_TRUE(product.run(a.data(), b.data(), nullptr, c.data(), aligned).ok());
  return c;
}

float value(std::int64_t i) {
  return static_cast<float>(i % 13 - 6);
}

// a has a one where it meets row 5 of b, so c is that row.
void expect_row_of_b(std::int64_t k, std::int64_t n, bool transposed) {
  SCOPED_TRACE(testing::Message() << k << " x " << n << (transposed ? " transposed" : ""));
  const MatmulSpec spec{.m = 1, .n = n, .k = k, .operand = DType::bf16, .transpose_b = transposed};
  if (const char* reason = matmul_unsupported(spec)) GTEST_SKIP() << reason;
  std::vector<bf16> a(static_cast<size_t>(k), to_bf16(0.0f)), b(static_cast<size_t>(k * n));
  a[5] = to_bf16(1.0f);
  for (std::int64_t i = 0; i < k * n; ++i) b[static_cast<size_t>(i)] = to_bf16(value(i));
  const std::vector<float> c = run(spec, a, b);
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < n; ++i)
    wrong += c[static_cast<size_t>(i)] != value(transposed ? i * k + 5 : 5 * n + i);
  EXPECT_EQ(wrong, 0);
}

TEST(Matmul, RightOperandTooLargeToPack) {
  for (const bool transposed : {false, true}) {
    expect_row_of_b(64, 70, transposed);
    expect_row_of_b(8200, 8210, transposed);
  }
}

// b has a one in its last row, so c is the last of a's rows as they are stored.
TEST(Matmul, LeftOperandTooLargeToTurn) {
  for (const std::int64_t m : {100, (1 << 23) + 100}) {
    const MatmulSpec spec{.m = m, .n = 1, .k = 4, .operand = DType::bf16, .transpose_a = true};
    if (const char* reason = matmul_unsupported(spec)) GTEST_SKIP() << reason;
    std::vector<bf16> a(static_cast<size_t>(4 * m)), b(4, to_bf16(0.0f));
    b[3] = to_bf16(1.0f);
    for (std::int64_t i = 0; i < 4 * m; ++i) a[static_cast<size_t>(i)] = to_bf16(value(i));
    const std::vector<float> c = run(spec, a, b);
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < m; ++i) wrong += c[static_cast<size_t>(i)] != value(3 * m + i);
    EXPECT_EQ(wrong, 0);
  }
}

}  // namespace
}  // namespace outsize
