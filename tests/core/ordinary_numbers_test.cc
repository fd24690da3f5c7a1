#include "core/ordinary_numbers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "core/half.h"

namespace outsize {
namespace {

constexpr std::int64_t kCount = 10001;  // more than are drawn

TEST(OrdinaryNumbers, AreWithinTheirRange) {
  std::vector<float> floats(kCount);
  std::vector<double> doubles(kCount);
  std::vector<bf16> halves(kCount);
  std::vector<std::uint8_t> bytes(kCount);
  fill_ordinary(DType::f32, kCount, floats.data());
  fill_ordinary(DType::f64, kCount, doubles.data());
  fill_ordinary(DType::bf16, kCount, halves.data());
  fill_ordinary(DType::u8, kCount, bytes.data());
  for (size_t i = 0; i < kCount; ++i) {
    ASSERT_GE(doubles[i], 0.1);
    ASSERT_LE(doubles[i], 1.1);
    ASSERT_FLOAT_EQ(floats[i], static_cast<float>(doubles[i]));
    ASSERT_NEAR(to_f32(halves[i]), doubles[i], 1.0 / 256);
    ASSERT_NEAR(bytes[i], 100 * doubles[i], 1.0);
  }
  EXPECT_LT(*std::min_element(doubles.begin(), doubles.end()), 0.2);
  EXPECT_GT(*std::max_element(doubles.begin(), doubles.end()), 1.0);
}

TEST(OrdinaryNumbers, StayWithinTheirRoom) {
  std::vector<float> some(kCount + 1, -1.0f);
  for (const std::int64_t count : {0, 1, 4093, 4094, 10000}) {
    std::fill(some.begin(), some.end(), -1.0f);
    fill_ordinary(DType::f32, count, some.data());
    EXPECT_EQ(std::count(some.begin(), some.end(), -1.0f), kCount + 1 - count);
  }
}

TEST(OrdinaryNumbers, AreNotMadeOfIndices) {
  std::int32_t index = 0;
  EXPECT_THROW(fill_ordinary(DType::i32, 1, &index), Error);
}

}  // namespace
}  // namespace outsize
