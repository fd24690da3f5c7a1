#include "optim/master.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/rng.h"
#include "optim/harness.h"

namespace outsize {
namespace {

struct Split {
  std::vector<bf16> weight;
  std::vector<std::int16_t> low;
  std::vector<float> joined;
};

Split split(const std::vector<float>& masters) {
  const std::int64_t n = static_cast<std::int64_t>(masters.size());
  Split result{std::vector<bf16>(masters.size()), std::vector<std::int16_t>(masters.size()),
               std::vector<float>(masters.size())};
  store_master(masters.data(), n, result.weight.data(), result.low.data());
  load_master(result.weight.data(), result.low.data(), n, result.joined.data());
  return result;
}

std::uint32_t bits(float x) {
  return std::bit_cast<std::uint32_t>(x);
}

// Every sign and exponent (subnormals, infinities and NaN among them) with mantissas at and around
// every point where rounding to bf16 or carrying changes, and random ones.
std::vector<float> edge_values() {
  std::vector<std::uint32_t> mantissas;
  for (std::uint32_t edge :
       {0x0u, 0x7fffu, 0x8000u, 0xffffu, 0x10000u, 0x18000u, 0x3fffffu, 0x400000u, 0x7e8000u,
        0x7effffu, 0x7f0000u, 0x7f7fffu, 0x7f8000u, 0x7fffffu})
    for (int around = -2; around <= 2; ++around)
      mantissas.push_back((edge + static_cast<std::uint32_t>(around)) & 0x7fffffu);
  const Rng rng(5, 0);
  for (std::uint64_t i = 0; i < 20; ++i)
    mantissas.push_back(static_cast<std::uint32_t>(rng.bits(i)) & 0x7fffffu);
  std::vector<float> values;
  for (std::uint32_t sign_exponent = 0; sign_exponent < 512; ++sign_exponent)
    for (std::uint32_t mantissa : mantissas)
      values.push_back(std::bit_cast<float>((sign_exponent << 23) | mantissa));
  return values;
}

TEST(Master, RoundTripsEveryExponentBitForBit) {
  const std::vector<float> masters = edge_values();
  for_each_isa([&] {
    const Split s = split(masters);
    for (size_t i = 0; i < masters.size(); ++i) {
      if (std::isnan(masters[i])) {
        EXPECT_TRUE(std::isnan(s.joined[i]) && std::isnan(to_f32(s.weight[i])));
        EXPECT_EQ(std::signbit(s.joined[i]), std::signbit(masters[i]));
        continue;
      }
      ASSERT_EQ(bits(s.joined[i]), bits(masters[i])) << std::hexfloat << masters[i];
      const std::uint32_t by_formula = (std::uint32_t{s.weight[i].bits} << 16) +
                                       static_cast<std::uint32_t>(std::int32_t{s.low[i]});
      ASSERT_EQ(by_formula, bits(masters[i])) << std::hexfloat << masters[i];
    }
  });
}

TEST(Master, WeightIsTheMasterRoundedToNearest) {
  const std::vector<float> masters = edge_values();
  for_each_isa([&] {
    const Split s = split(masters);
    for (size_t i = 0; i < masters.size(); ++i) {
      if (std::isnan(masters[i])) continue;
      // Only exact halves differ from core's rounding (ties to even): they go away from zero.
      const bool half = (bits(masters[i]) & 0xffffu) == 0x8000u;
      const std::uint32_t expected =
          half ? (bits(masters[i]) >> 16) + 1 : std::uint32_t{to_bf16(masters[i]).bits};
      ASSERT_EQ(s.weight[i].bits, expected) << std::hexfloat << masters[i];
    }
  });
}

TEST(Master, LargestNumberRoundsToInfinityButIsKept) {
  const float largest = std::numeric_limits<float>::max();
  const float infinity = std::numeric_limits<float>::infinity();
  const Split s = split({largest, -largest, infinity, -infinity, 0.0f, -0.0f});
  EXPECT_EQ(to_f32(s.weight[0]), infinity);
  EXPECT_EQ(to_f32(s.weight[1]), -infinity);
  EXPECT_EQ(s.joined[0], largest);
  EXPECT_EQ(s.joined[1], -largest);
  EXPECT_EQ(s.joined[2], infinity);
  EXPECT_EQ(s.joined[3], -infinity);
  EXPECT_EQ(s.low[2], 0);
  EXPECT_EQ(s.low[4], 0);
  EXPECT_TRUE(std::signbit(s.joined[5]));
}

TEST(Master, ZeroLowHalfIsTheWeightItself) {
  for_each_isa([] {
    std::vector<bf16> weight(0x10000);
    for (std::uint32_t i = 0; i < 0x10000u; ++i) weight[i].bits = static_cast<std::uint16_t>(i);
    const std::vector<std::int16_t> low(weight.size());
    std::vector<float> joined(weight.size());
    load_master(weight.data(), low.data(), 0x10000, joined.data());
    for (std::uint32_t i = 0; i < 0x10000u; ++i) ASSERT_EQ(bits(joined[i]), i << 16);
  });
}

TEST(Master, TailsTouchNothingBeyondTheEnd) {
  for_each_isa([] {
    for (std::int64_t n : {0, 1, 2, 15, 16, 17, 31, 33}) {
      const std::vector<float> masters = normals(n, 9);
      std::vector<bf16> weight(static_cast<size_t>(n) + 16, bf16{0x1234});
      std::vector<std::int16_t> low(static_cast<size_t>(n) + 16, 77);
      std::vector<float> joined(static_cast<size_t>(n) + 16, 5.0f);
      store_master(masters.data(), n, weight.data(), low.data());
      load_master(weight.data(), low.data(), n, joined.data());
      for (size_t i = 0; i < joined.size(); ++i) {
        const bool inside = i < static_cast<size_t>(n);
        EXPECT_EQ(joined[i], inside ? masters[i] : 5.0f);
        if (!inside) {
          EXPECT_EQ(weight[i].bits, 0x1234);
          EXPECT_EQ(low[i], 77);
        }
      }
    }
  });
}

}  // namespace
}  // namespace outsize
