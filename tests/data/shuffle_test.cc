#include "data/shuffle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "core/error.h"

namespace outsize {
namespace {

std::vector<std::uint64_t> order_of(std::uint64_t n, std::uint64_t seed, std::uint64_t epoch) {
  const Permutation order(n, seed, epoch);
  std::vector<std::uint64_t> places(n);
  for (std::uint64_t i = 0; i < n; ++i) places[i] = order(i);
  return places;
}

TEST(Shuffle, IsAPermutationForEverySize) {
  std::vector<std::uint64_t> sizes;
  for (std::uint64_t n = 1; n <= 300; ++n) sizes.push_back(n);
  for (const std::uint64_t n : {1023, 1024, 1025, 65535, 65537, 100003}) sizes.push_back(n);
  for (const std::uint64_t n : sizes) {
    std::vector<std::uint64_t> places = order_of(n, 7, n % 5);
    std::sort(places.begin(), places.end());
    for (std::uint64_t i = 0; i < n; ++i) ASSERT_EQ(places[i], i) << "n = " << n;
  }
}

TEST(Shuffle, StaysInRangeForHugeSizes) {
  for (const std::uint64_t n : {(std::uint64_t{1} << 40) + 1, (std::uint64_t{1} << 63) + 12345}) {
    const Permutation order(n, 1, 2);
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < 10000; ++i) {
      ASSERT_LT(order(i), n);
      ASSERT_TRUE(seen.insert(order(i)).second);
      ASSERT_LT(order(n - 1 - i), n);
    }
  }
}

TEST(Shuffle, DependsOnSeedAndEpochAlone) {
  EXPECT_EQ(order_of(1000, 3, 4), order_of(1000, 3, 4));
  EXPECT_NE(order_of(1000, 3, 4), order_of(1000, 3, 5));
  EXPECT_NE(order_of(1000, 3, 4), order_of(1000, 4, 4));
}

// Over many epochs each thing must come to each place about equally often: chi-squared with
// (n − 1)² degrees of freedom, five standard deviations.
TEST(Shuffle, IsUniform) {
  for (const std::uint64_t n : {std::uint64_t{3}, std::uint64_t{7}, std::uint64_t{30}}) {
    const std::uint64_t epochs = 30000;
    std::vector<double> counts(n * n);
    for (std::uint64_t epoch = 0; epoch < epochs; ++epoch) {
      const Permutation order(n, 11, epoch);
      for (std::uint64_t i = 0; i < n; ++i) ++counts[i * n + order(i)];
    }
    const double expected = static_cast<double>(epochs) / static_cast<double>(n);
    double chi_squared = 0;
    for (const double count : counts)
      chi_squared += (count - expected) * (count - expected) / expected;
    const double freedom = static_cast<double>((n - 1) * (n - 1));
    EXPECT_LT(chi_squared, freedom + 5 * std::sqrt(2 * freedom)) << "n = " << n;
  }
}

TEST(Shuffle, RefusesAPlaceOutside) {
  const Permutation order(5, 1, 1);
  EXPECT_THROW(order(5), Error);
}

}  // namespace
}  // namespace outsize
