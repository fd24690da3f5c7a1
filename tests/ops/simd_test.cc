// core/simd.h on every instruction set of this processor, against the C library in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "core/half.h"
#include "core/isa.h"
#include "core/rng.h"
#include "ops/simd/probe.h"

namespace outsize {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNan = std::nanf("");

class Simd : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > best_isa()) GTEST_SKIP() << "this processor lacks " << name_of(GetParam());
  }
  const SimdProbe& probe() const {
    switch (GetParam()) {
      case Isa::amx:
      case Isa::avx512:
        return isa_avx512::simd_probe;
      case Isa::avx2:
        return isa_avx2::simd_probe;
      case Isa::baseline:
        break;
    }
    return isa_baseline::simd_probe;
  }
};

INSTANTIATE_TEST_SUITE_P(Isas, Simd, testing::Values(Isa::baseline, Isa::avx2, Isa::avx512),
                         [](const auto& info) { return std::string(name_of(info.param)); });

float one(SimdProbe::Unary f, float x) {
  std::array<float, 16> in, out;
  in.fill(x);
  f(in.data(), out.data());
  return out[7];
}

// Worst error of f over [low, high] in units of the last place of the exact result.
template <class Exact>
double worst_ulps(SimdProbe::Unary f, double low, double high, Exact exact) {
  constexpr int kSteps = 40000;
  double worst = 0;
  for (int i = 0; i < kSteps; i += 16) {
    std::array<float, 16> in, out;
    for (int lane = 0; lane < 16; ++lane)
      in[static_cast<size_t>(lane)] =
          static_cast<float>(low + (high - low) * (i + lane) / (kSteps - 1));
    f(in.data(), out.data());
    for (size_t lane = 0; lane < 16; ++lane) {
      const double want = exact(static_cast<double>(in[lane]));
      const double size = std::max(std::abs(want), 0x1p-126);
      const double error =
          std::abs(out[lane] - want) / (std::exp2(std::floor(std::log2(size))) * 0x1p-23);
      if (!(error <= worst)) worst = error;
    }
  }
  return worst;
}

TEST_P(Simd, ElementaryFunctionsAreAccurate) {
  auto exact_exp = [](double x) { return std::exp(x); };
  auto exact_tanh = [](double x) { return std::tanh(x); };
  auto exact_sigmoid = [](double x) { return 1.0 / (1.0 + std::exp(-x)); };
  for (double reach : {1e-3, 1.0, 20.0, 86.0}) {
    EXPECT_LE(worst_ulps(probe().exp, -reach, reach, exact_exp), 1.5) << reach;
    EXPECT_LE(worst_ulps(probe().sigmoid, -reach, reach, exact_sigmoid), 4.0) << reach;
    EXPECT_LE(worst_ulps(probe().tanh, -reach, reach, exact_tanh), 3.0) << reach;
  }
  EXPECT_LE(worst_ulps(probe().exp, -103.9, -87.0, exact_exp), 1.5);
  EXPECT_LE(worst_ulps(probe().rsqrt, 1e-9, 1e-3, [](double x) { return 1 / std::sqrt(x); }), 1.5);
}

TEST_P(Simd, PowersOfTwoAreAccurate) {
  for (double x = -126; x <= 127; x += 1.0 / 512) {
    const double want = std::exp2(x), got = one(probe().exp2, static_cast<float>(x));
    ASSERT_TRUE(std::abs(got - want) <= 2e-7 * want) << x << " " << got << " " << want;
  }
  EXPECT_EQ(one(probe().exp2, 0.0f), 1.0f);
  for (const float far : {-200.0f, -1e9f, -2e30f, -kInfinity})
    EXPECT_EQ(one(probe().exp2, far), 0.0f) << far;
  EXPECT_TRUE(std::isnan(one(probe().exp2, kNan)));
}

TEST_P(Simd, NormalDistributionIsAccurate) {
  for (double x = -12; x <= 12; x += 1.0 / 512) {
    const double want =
        0.5 * std::erfc(-static_cast<double>(static_cast<float>(x)) / std::sqrt(2.0));
    const double got = one(probe().normal_cdf, static_cast<float>(x));
    ASSERT_TRUE(std::abs(got - want) <= 2e-7) << x << " " << got << " " << want;
    ASSERT_TRUE(std::abs(got - want) <= 2e-5 * want) << x << " " << got << " " << want;
  }
}

TEST_P(Simd, ElementaryFunctionsAtTheEdges) {
  EXPECT_EQ(one(probe().exp, -kInfinity), 0.0f);
  EXPECT_EQ(one(probe().exp, -200.0f), 0.0f);
  EXPECT_EQ(one(probe().exp, 0.0f), 1.0f);
  EXPECT_EQ(one(probe().exp, 89.0f), kInfinity);
  EXPECT_EQ(one(probe().exp, kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(one(probe().exp, kNan)));
  EXPECT_EQ(one(probe().tanh, kInfinity), 1.0f);
  EXPECT_EQ(one(probe().tanh, -kInfinity), -1.0f);
  EXPECT_EQ(one(probe().tanh, 0.0f), 0.0f);
  EXPECT_TRUE(std::isnan(one(probe().tanh, kNan)));
  EXPECT_EQ(one(probe().sigmoid, -kInfinity), 0.0f);
  EXPECT_EQ(one(probe().sigmoid, kInfinity), 1.0f);
  EXPECT_TRUE(std::isnan(one(probe().sigmoid, kNan)));
  EXPECT_EQ(one(probe().normal_cdf, -kInfinity), 0.0f);
  EXPECT_EQ(one(probe().normal_cdf, kInfinity), 1.0f);
  EXPECT_FALSE(std::signbit(one(probe().abs, 0.0f)));
  EXPECT_FALSE(std::signbit(one(probe().abs, -0.0f)));
  EXPECT_EQ(one(probe().abs, -kInfinity), kInfinity);
}

TEST_P(Simd, WidensEveryBf16) {
  for (std::uint32_t base = 0; base < 0x10000u; base += 16) {
    std::array<std::uint16_t, 16> in;
    std::array<float, 16> out;
    for (std::uint32_t lane = 0; lane < 16; ++lane)
      in[lane] = static_cast<std::uint16_t>(base + lane);
    probe().widen(in.data(), out.data());
    for (std::uint32_t lane = 0; lane < 16; ++lane)
      ASSERT_EQ(std::bit_cast<std::uint32_t>(out[lane]), (base + lane) << 16);
  }
}

TEST_P(Simd, NarrowsAsTheScalarConversionDoes) {
  const Rng rng(1, 1);
  std::array<float, 16> in;
  std::array<std::uint16_t, 16> out;
  for (std::uint64_t round = 0; round < 20000; ++round) {
    for (std::uint64_t lane = 0; lane < 16; ++lane) {
      auto bits = static_cast<std::uint32_t>(rng.bits(round * 16 + lane));
      if (lane % 4 == 0) bits = (bits & 0xffff0000u) | 0x8000u;  // ties
      in[lane] = std::bit_cast<float>(bits);
      // AVX-512's conversion takes subnormals for zero; the others are exact there too.
      if (std::fpclassify(in[lane]) == FP_SUBNORMAL) in[lane] = 0.0f;
    }
    probe().narrow(in.data(), out.data());
    for (size_t lane = 0; lane < 16; ++lane) {
      if (std::isnan(in[lane])) {
        ASSERT_TRUE(std::isnan(to_f32(bf16{out[lane]}))) << in[lane];
      } else {
        ASSERT_EQ(out[lane], to_bf16(in[lane]).bits) << in[lane];
      }
    }
  }
}

TEST_P(Simd, PartialLoadsAndStoresTouchNothingElse) {
  for (int n = 0; n <= 16; ++n) {
    // Exactly n long, so that a sanitizer sees a read beyond; poisoned behind the n written.
    std::vector<float> in(static_cast<size_t>(n), 3.0f), out(16, -7.0f);
    probe().copy_n(in.data(), out.data(), n);
    std::vector<std::uint16_t> in16(static_cast<size_t>(n), 0x4040), out16(16, 0x1234);
    probe().copy_n_bf16(in16.data(), out16.data(), n);
    for (int i = 0; i < 16; ++i) {
      EXPECT_EQ(out[static_cast<size_t>(i)], i < n ? 3.0f : -7.0f);
      EXPECT_EQ(out16[static_cast<size_t>(i)], i < n ? 0x4040 : 0x1234);
    }
  }
}

TEST_P(Simd, SumsInTheStatedTree) {
  const Rng rng(2, 1);
  std::array<float, 16> x;
  for (std::uint64_t round = 0; round < 1000; ++round) {
    for (std::uint64_t i = 0; i < 16; ++i) x[i] = static_cast<float>(rng.normal(round * 16 + i));
    std::array<float, 16> tree = x;
    for (size_t half : {8u, 4u, 2u, 1u})
      for (size_t i = 0; i < half; ++i) tree[i] += tree[i + half];
    ASSERT_EQ(probe().sum(x.data()), tree[0]);
    ASSERT_EQ(probe().max(x.data()), *std::max_element(x.begin(), x.end()));
  }
}

TEST_P(Simd, ChoosesLaneByLane) {
  std::array<float, 16> a, b, y;
  for (size_t i = 0; i < 16; ++i) {
    a[i] = static_cast<float>(i);
    b[i] = 15.0f - static_cast<float>(i);
  }
  for (int n : {-3, 0, 1, 9, 16, 40}) {
    probe().choose(a.data(), b.data(), y.data(), n);
    for (int i = 0; i < 16; ++i) {
      const auto at = static_cast<size_t>(i);
      const float chosen = b[at];  // the larger where a < b, else the smaller
      EXPECT_EQ(y[at], i < n ? chosen : -1.0f);
    }
  }
  probe().fma(a.data(), b.data(), a.data(), y.data());
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(y[i], a[i] * b[i] + a[i]);
}

}  // namespace
}  // namespace outsize
