#include "optim/clip.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/parallel.h"
#include "optim/harness.h"

namespace outsize {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double scale_of(double norm, double max_norm) {
  double scale = -1;
  EXPECT_TRUE(clip_scale(norm, max_norm, &scale).ok());
  return scale;
}

TEST(SumOfSquares, IsExactWhereF64Is) {
  for_each_isa([] {
    for (std::int64_t n : {0, 1, 15, 16, 17, 31, 32, 33, 1000, 70'000}) {
      std::vector<float> x(static_cast<size_t>(n));
      double expected = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        x[i] = static_cast<float>(static_cast<int>(i * 7919 % 2001) - 1000);
        expected += static_cast<double>(x[i]) * x[i];  // integers: every partial sum is exact
      }
      EXPECT_EQ(sum_of_squares(x.data(), n), expected) << n;
    }
  });
}

TEST(SumOfSquares, BitsDependOnNeitherThreadsNorInstructionSet) {
  const int before = thread_count();
  const std::vector<float> x = normals(1'000'003, 3);
  const std::int64_t n = static_cast<std::int64_t>(x.size());
  set_thread_count(1);
  const double alone = sum_of_squares(x.data(), n);
  for_each_isa([&] {
    for (int threads : {1, 2, 3}) {
      set_thread_count(threads);
      EXPECT_EQ(sum_of_squares(x.data(), n), alone);
    }
  });
  set_thread_count(before);
}

TEST(SumOfSquares, NeitherOverflowsNorHidesNan) {
  std::vector<float> x(100, std::numeric_limits<float>::max());
  EXPECT_NEAR(sum_of_squares(x.data(), 100) / (100 * std::pow(3.4028234663852886e38, 2)), 1, 1e-12);
  const float tiny = 0x1p-149f;
  EXPECT_EQ(sum_of_squares(&tiny, 1), 0x1p-298);
  x[99] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(sum_of_squares(x.data(), 100)));
  x[99] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(sum_of_squares(x.data(), 100), kInfinity);
}

TEST(ClipScale, IsTorchsFormula) {
  EXPECT_EQ(scale_of(0, 1), 1);
  EXPECT_EQ(scale_of(0.5, 1), 1);
  EXPECT_DOUBLE_EQ(scale_of(1, 1), 1 / (1 + 1e-6));
  EXPECT_DOUBLE_EQ(scale_of(4, 1), 1 / (4 + 1e-6));
  EXPECT_EQ(scale_of(4, 0), 0);
  EXPECT_EQ(scale_of(0, 0), 0);
  EXPECT_EQ(scale_of(1e300, kInfinity), 1);
  EXPECT_DOUBLE_EQ(scale_of(1e300, 1), 1e-300);
}

TEST(ClipScale, ReportsWhatCannotBeClipped) {
  const double nan = std::nan("");
  for (auto [norm, max_norm] : {std::pair{nan, 1.0},
                                {kInfinity, 1.0},
                                {-1.0, 1.0},
                                {kInfinity, kInfinity},
                                {1.0, -1.0},
                                {1.0, nan}}) {
    double scale = 0.25;
    const Status status = clip_scale(norm, max_norm, &scale);
    EXPECT_FALSE(status.ok()) << norm << " " << max_norm;
    EXPECT_EQ(scale, 0.25);
  }
}

}  // namespace
}  // namespace outsize
