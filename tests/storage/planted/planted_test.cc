// The schedules that the store passes must fail for a store with a bug. Each bug is one that was
// made before, somewhere: a sync left out, a checksum not compared, a place used too early.
#include <gtest/gtest.h>

#include <functional>

#include "storage/planted/plants.h"
#include "storage/twin/schedule.h"

namespace outsize {
namespace {

constexpr std::uint64_t kSeeds = 600;

using Plant = std::function<void(SimDisk&, KillPoint)>;

// How many schedules end wrong.
int count_caught(StoreScheme scheme, const Plant& plant) {
  int caught = 0;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed)
    caught += run_schedule({scheme, seed, plant}).verdict == Verdict::wrong;
  return caught;
}

// Leaves out the sync between two kill points.
Plant skip_sync(KillPoint from, KillPoint to) {
  return [from, to](SimDisk& disk, KillPoint point) {
    if (point == from) disk.ignore_syncs(true);
    if (point == to) disk.ignore_syncs(false);
  };
}

void expect_caught(const char* name, StoreScheme scheme, const Plant& plant) {
  const int caught = count_caught(scheme, plant);
  std::cout << name << ": caught by " << caught << " of " << kSeeds << " schedules\n";
  EXPECT_GE(caught, 3) << name;
}

struct Switch {
  explicit Switch(bool& value) : value(value) { value = true; }
  ~Switch() { value = false; }
  bool& value;
};

constexpr StoreScheme kBoth[] = {StoreScheme::two_slots, StoreScheme::ring};

TEST(Planted, NothingPlantedNothingCaught) {
  for (const StoreScheme scheme : kBoth) EXPECT_EQ(count_caught(scheme, {}), 0);
}

TEST(Planted, NoSyncAtAll) {
  const Plant plant = [](SimDisk& disk, KillPoint) { disk.ignore_syncs(true); };
  for (const StoreScheme scheme : kBoth) expect_caught("no sync", scheme, plant);
}

TEST(Planted, CommitBeforeSlotsAreSynced) {
  expect_caught("commit before slots", StoreScheme::two_slots,
                skip_sync(KillPoint::before_slot_sync, KillPoint::after_slot_sync));
}

TEST(Planted, CommitRecordNotSynced) {
  for (const StoreScheme scheme : kBoth)
    expect_caught("record not synced", scheme,
                  skip_sync(KillPoint::before_commit_sync, KillPoint::after_commit_sync));
}

TEST(Planted, LogNotSynced) {
  expect_caught("log not synced", StoreScheme::ring,
                skip_sync(KillPoint::before_log_sync, KillPoint::after_log_sync));
}

TEST(Planted, GroupNotSyncedBeforeItsOldPlaceIsReused) {
  expect_caught("group not synced", StoreScheme::ring,
                skip_sync(KillPoint::before_progress_sync, KillPoint::after_progress_sync));
}

TEST(Planted, NoChecksum) {
  const Switch on(planted_no_checksum);
  for (const StoreScheme scheme : kBoth) expect_caught("no checksum", scheme, {});
}

TEST(Planted, SlotReusedEarly) {
  const Switch on(planted_slot_reuse);
  for (const StoreScheme scheme : kBoth) expect_caught("slot reused", scheme, {});
}

TEST(Planted, RingTakesLessThanItsSpare) {
  const Switch on(planted_small_ring_step);
  expect_caught("small spare", StoreScheme::ring, {});
}

}  // namespace
}  // namespace outsize
