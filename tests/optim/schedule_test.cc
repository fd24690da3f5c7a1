#include "optim/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/error.h"

namespace outsize {
namespace {

TEST(Schedule, WarmupStartsAtZeroAndPeaksOneAfterItsLength) {
  for (const char* name : {"constant", "linear", "cosine", "wsd"}) {
    const ScheduleOptions options{.name = name, .warmup_steps = 4};
    EXPECT_EQ(learning_rate(options, 8, 1, 100), 0) << name;
    EXPECT_EQ(learning_rate(options, 8, 2, 100), 2) << name;
    EXPECT_EQ(learning_rate(options, 8, 4, 100), 6) << name;
    EXPECT_EQ(learning_rate(options, 8, 5, 100), 8) << name;
  }
}

TEST(Schedule, WithoutWarmupTheFirstUpdateHasThePeak) {
  for (const char* name : {"constant", "linear", "cosine", "wsd"})
    EXPECT_EQ(learning_rate({.name = name}, 8, 1, 100), 8) << name;
}

TEST(Schedule, FallsToTheMinimumAndStays) {
  for (const char* name : {"linear", "cosine", "wsd"}) {
    const ScheduleOptions options{
        .name = name, .warmup_steps = 2, .min_lr_ratio = 0.25, .decay_fraction = 0.5};
    for (std::int64_t step = 3; step <= 12; ++step)
      EXPECT_LE(learning_rate(options, 8, step + 1, 12), learning_rate(options, 8, step, 12));
    EXPECT_GT(learning_rate(options, 8, 12, 12), 2) << name;  // the last update is still above it
    for (std::int64_t step : {13, 14, 1000}) EXPECT_EQ(learning_rate(options, 8, step, 12), 2);
  }
}

TEST(Schedule, LinearWithMinimumIsALine) {
  const ScheduleOptions options{.name = "linear", .warmup_steps = 2, .min_lr_ratio = 0.5};
  for (std::int64_t step = 3; step <= 12; ++step)
    EXPECT_NEAR(learning_rate(options, 8, step, 12), 8 - 0.4 * static_cast<double>(step - 3),
                1e-14);
}

TEST(Schedule, WsdIsFlatUntilItsDecay) {
  const ScheduleOptions options{.name = "wsd", .warmup_steps = 2, .decay_fraction = 0.3};
  for (std::int64_t step = 3; step <= 8; ++step)
    EXPECT_EQ(learning_rate(options, 9, step, 10), 9) << step;
  EXPECT_NEAR(learning_rate(options, 9, 9, 10), 6, 1e-14);
  EXPECT_NEAR(learning_rate(options, 9, 10, 10), 3, 1e-14);
  EXPECT_EQ(learning_rate({.name = "wsd", .decay_fraction = 0}, 9, 10, 10), 9);
}

TEST(Schedule, ShortRunsStayInRange) {
  for (const char* name : {"constant", "linear", "cosine", "wsd"})
    for (std::int64_t total : {0, 1, 3})
      for (std::int64_t warmup : {0, 1, 2, 7})
        for (double fraction : {0.0, 0.5, 1.0})
          for (std::int64_t step = 1; step <= 9; ++step) {
            const double rate = learning_rate(
                {.name = name, .warmup_steps = warmup, .decay_fraction = fraction}, 1, step, total);
            EXPECT_TRUE(rate >= 0 && rate <= 1) << name << total << warmup << step << rate;
          }
}

TEST(Schedule, RefusesBadOptions) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(check(ScheduleOptions{.name = "polynomial"}), Error);
  EXPECT_THROW(check(ScheduleOptions{.warmup_steps = -1}), Error);
  EXPECT_THROW(check(ScheduleOptions{.min_lr_ratio = 1.5}), Error);
  EXPECT_THROW(check(ScheduleOptions{.min_lr_ratio = nan}), Error);
  EXPECT_THROW(check(ScheduleOptions{.decay_fraction = -0.1}), Error);
  EXPECT_THROW(check(ScheduleOptions{.name = "wsd", .decay = "exp"}), Error);
  EXPECT_NO_THROW(check(ScheduleOptions{}));
}

}  // namespace
}  // namespace outsize
