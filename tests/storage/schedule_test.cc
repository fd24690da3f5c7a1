// Ten thousand runs under seeded faults: each ends with the bits of the undisturbed run, or stops
// and names what is damaged.
#include "storage/twin/schedule.h"

#include <gtest/gtest.h>

namespace outsize {
namespace {

constexpr std::uint64_t kSeeds = 6000;  // per layout

void run_all(StoreScheme scheme) {
  int identical = 0, stopped = 0, crashes = 0, starts = 0, wrong = 0;
  for (std::uint64_t seed = 0; seed < kSeeds && wrong < 5; ++seed) {
    const ScheduleResult result = run_schedule({scheme, seed, {}});
    identical += result.verdict == Verdict::identical;
    stopped += result.verdict == Verdict::stopped;
    wrong += result.verdict == Verdict::wrong;
    crashes += result.crashes;
    starts += result.starts;
    EXPECT_NE(result.verdict, Verdict::wrong) << "seed " << seed << ": " << result.message;
  }
  std::cout << identical << " identical, " << stopped << " stopped with named damage, " << crashes
            << " crashes, " << starts << " starts\n";
  EXPECT_GT(identical, static_cast<int>(kSeeds) / 2);
  EXPECT_GT(stopped, static_cast<int>(kSeeds) / 100);  // damage is met, too
  EXPECT_GT(crashes, static_cast<int>(kSeeds));
}

TEST(Schedule, TwoSlotsSurviveEveryFaultOrNameTheDamage) {
  run_all(StoreScheme::two_slots);
}

TEST(Schedule, RingSurvivesEveryFaultOrNamesTheDamage) {
  run_all(StoreScheme::ring);
}

// Every call of a run once: power fails exactly there.
void crash_at_every_operation(StoreScheme scheme, bool power) {
  const ToyOptions options{.scheme = scheme, .steps = 3};
  const ToyState expected = toy_expected(options);
  std::uint64_t operations = 0;
  for (std::uint64_t at = 1; operations == 0; ++at) {
    SimDisk disk(at);
    disk.set_faults({.crash_at = at, .power = power});
    try {
      (void)run_toy(disk, "run", options);
      operations = at;  // the run was over before
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::Io) << at << ": " << error.what();
    }
    disk.restart();
    ASSERT_TRUE(run_toy(disk, "run", options) == expected) << "crash at operation " << at;
  }
  EXPECT_GT(operations, 50u);
}

TEST(Schedule, CrashAtEveryOperation) {
  for (const StoreScheme scheme : {StoreScheme::two_slots, StoreScheme::ring})
    for (const bool power : {false, true}) crash_at_every_operation(scheme, power);
}

}  // namespace
}  // namespace outsize
