// The small parts everything rests on: dtypes, halves, shapes, loops, random numbers.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

#include "core/balance.h"
#include "core/clock.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/half.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "core/shape.h"

namespace outsize {
namespace {

TEST(DType, NamesRoundTrip) {
  for (DType dtype : {DType::f64, DType::f32, DType::bf16, DType::f16, DType::i64, DType::i32,
                      DType::i16, DType::u8})
    EXPECT_EQ(parse_dtype(name_of(dtype)), dtype);
  EXPECT_THROW(parse_dtype("float"), Error);
}

TEST(Half, EveryF16RoundTripsThroughF32) {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const f16 half{static_cast<std::uint16_t>(bits)};
    const float wide = to_f32(half);
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(to_f32(to_f16(wide))));
    } else {
      EXPECT_EQ(to_f16(wide).bits, bits);
    }
  }
}

TEST(Half, Bf16RoundsToNearestEven) {
  EXPECT_EQ(to_bf16(1.0f).bits, 0x3f80);
  EXPECT_EQ(to_bf16(1.0f + 0x1p-8f).bits, 0x3f80);             // tie goes to even
  EXPECT_EQ(to_bf16(1.0f + 0x1p-8f + 0x1p-20f).bits, 0x3f81);  // above the tie goes up
  EXPECT_EQ(to_bf16(1.0f + 0x3p-8f).bits, 0x3f82);             // tie goes to even
  EXPECT_TRUE(std::isnan(to_f32(to_bf16(std::nanf("")))));
}

TEST(Shape, CountsAndRefusesOverflow) {
  EXPECT_EQ((Shape{4, 5, 6}).numel(), 120);
  EXPECT_EQ((Shape{4, 5, 6}).rows(), 20);
  EXPECT_EQ(Shape{}.numel(), 1);
  EXPECT_EQ((Shape{4, 0}).numel(), 0);
  EXPECT_EQ(to_string(Shape{2, 3}), "[2,3]");
  EXPECT_THROW((Shape{1ll << 40, 1ll << 40}), Error);
  EXPECT_THROW((Shape{-1}), Error);
}

TEST(Parallel, CoversEveryIndexOnce) {
  std::vector<std::atomic<int>> seen(1001);
  parallel_for(1001, 7, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) seen[static_cast<size_t>(i)]++;
  });
  for (const auto& count : seen) EXPECT_EQ(count, 1);
}

TEST(Parallel, MoreThreadsThanCoresTakeEveryChunkOnce) {
  const int before = thread_count();
  for (const int threads : {1, 3, 70}) {
    set_thread_count(threads);
    std::vector<std::atomic<int>> seen(500);
    parallel_for(500, 1,
                 [&](std::int64_t begin, std::int64_t) { seen[static_cast<size_t>(begin)]++; });
    for (const auto& count : seen) EXPECT_EQ(count, 1) << threads;
  }
  set_thread_count(before);
}

// One chunk ends only when all others have: whoever is free has to take what is left of its run.
TEST(Parallel, OthersTakeWhatASlowThreadHasLeft) {
  const int before = thread_count();
  set_thread_count(2);
  constexpr int kChunks = 100;
  std::atomic<int> done = 0;
  parallel_for(kChunks, 1, [&](std::int64_t begin, std::int64_t) {
    const double until = seconds_now() + 60;
    while (begin == 0 && done < kChunks - 1 && seconds_now() < until) std::this_thread::yield();
    EXPECT_TRUE(begin > 0 || done == kChunks - 1);
    ++done;
  });
  EXPECT_EQ(done, kChunks);
  set_thread_count(before);
}

TEST(Balance, GivesMoreToWhoIsFaster) {
  Balance balance(2);
  EXPECT_EQ(balance.before(1), 0.5);
  for (int loop = 0; loop < 100; ++loop) {
    const double first = balance.before(1);
    balance.done()[0] = {.work = first, .seconds = first / 3};
    balance.done()[1] = {.work = 1 - first, .seconds = 1 - first};
    balance.learn();
  }
  EXPECT_NEAR(balance.before(1), 0.75, 1e-3);
  EXPECT_EQ(balance.before(0), 0);
  EXPECT_EQ(balance.before(2), 1);
}

TEST(Balance, NeverLeavesAThreadWithoutWork) {
  Balance balance(4);
  for (int loop = 0; loop < 1000; ++loop) {
    for (int t = 0; t < 4; ++t)
      balance.done()[static_cast<size_t>(t)] = {.work = 1, .seconds = t == 1 ? 1e6 : 1};
    balance.learn();
  }
  const double share = balance.before(2) - balance.before(1);
  EXPECT_GT(share, 0.05);
  EXPECT_LT(share, 0.07);
}

// One that was interrupted says little of the next, a short one nearly nothing, and one in which a
// thread did nothing nothing at all.
TEST(Balance, LearnsSlowly) {
  Balance balance(2);
  const auto learn = [&](double work, double seconds) {
    balance.done()[0] = {.work = work, .seconds = seconds};
    balance.done()[1] = {.work = 1, .seconds = seconds * 9};
    balance.learn();
    return balance.before(1);
  };
  EXPECT_EQ(learn(0, 1), 0.5);
  EXPECT_LT(learn(1, 1e-6), 0.501);
  const double after = learn(1, 1);
  EXPECT_GT(after, 0.55);
  EXPECT_LT(after, 0.6);
}

// Known answer from the Random123 distribution's kat_vectors (philox4x32 10 rounds).
TEST(Rng, PhiloxKnownAnswers) {
  const auto zero = philox(0, 0, 0);
  EXPECT_EQ(zero[0], 0x6627e8d5u);
  EXPECT_EQ(zero[1], 0xe169c58du);
  EXPECT_EQ(zero[2], 0xbc57ac4cu);
  EXPECT_EQ(zero[3], 0x9b00dbd8u);
}

TEST(Rng, NormalHasUnitVariance) {
  const Rng rng(1, 2);
  double sum = 0, squares = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const double x = rng.normal(static_cast<std::uint64_t>(i));
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kCount, 0.0, 0.02);
  EXPECT_NEAR(squares / kCount, 1.0, 0.02);
}

}  // namespace
}  // namespace outsize
