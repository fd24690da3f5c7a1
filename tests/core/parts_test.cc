#include "core/parts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace outsize {
namespace {

std::vector<std::int64_t> cut(const std::vector<std::int64_t>& sizes, std::int64_t each,
                              std::int64_t left) {
  std::vector<std::int64_t> parts;
  for (; left > 0; left -= parts.back()) parts.push_back(sizes[next_part(sizes, each, left)]);
  return parts;
}

TEST(Parts, AreFilledUpWhereMoreOfThemWouldCostMore) {
  const std::vector<std::int64_t> sizes = {1024, 512, 256, 128, 64, 32, 16};
  using Parts = std::vector<std::int64_t>;
  EXPECT_EQ(cut(sizes, 128, 5), Parts({16}));
  EXPECT_EQ(cut(sizes, 128, 47), Parts({64}));
  EXPECT_EQ(cut(sizes, 128, 64), Parts({64}));
  EXPECT_EQ(cut(sizes, 128, 600), Parts({512, 128}));
  EXPECT_EQ(cut(sizes, 128, 1000), Parts({1024}));
  EXPECT_EQ(cut(sizes, 128, 3000), Parts({1024, 1024, 1024}));
  EXPECT_EQ(cut(sizes, 0, 47), Parts({32, 16}));
  EXPECT_EQ(cut({8}, 128, 20), Parts({8, 8, 8}));
}

TEST(Parts, CostNoMoreThanOneSizeAlone) {
  const std::vector<std::int64_t> sizes = {64, 32, 16, 1};
  for (const std::int64_t each : {0, 5, 40})
    for (std::int64_t left = 1; left < 300; ++left) {
      std::int64_t cost = 0, single = std::numeric_limits<std::int64_t>::max();
      for (const std::int64_t part : cut(sizes, each, left)) cost += part + each;
      for (const std::int64_t size : sizes)
        single = std::min(single, (left + size - 1) / size * (size + each));
      EXPECT_LE(cost, single) << left << ", each " << each;
    }
}

}  // namespace
}  // namespace outsize
