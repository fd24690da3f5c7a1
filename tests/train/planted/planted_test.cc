// The schedules that training passes must fail for training with a bug.
#include <gtest/gtest.h>

#include "storage/planted/plants.h"
#include "train/planted/dropped.h"
#include "train/twin/training_schedule.h"

namespace outsize::train_test {
namespace {

constexpr std::uint64_t kSeeds = 400;  // at most; three catches are enough

using Plant = std::function<void(SimDisk&, KillPoint)>;

// `plant` makes one for each schedule.
void expect_caught(const char* name, const std::function<Plant()>& plant) {
  int caught = 0;
  std::uint64_t seed = 0;
  for (; seed < kSeeds && caught < 3; ++seed)
    caught += run_training_schedule({seed, plant()}).verdict == Verdict::wrong;
  std::cout << name << ": caught by " << caught << " of " << seed << " schedules\n";
  EXPECT_GE(caught, 3) << name;
}

struct Switch {
  explicit Switch(bool& value) : value(value) { value = true; }
  ~Switch() { value = false; }
  bool& value;
};

// Leaves out the sync between two kill points.
Plant skip_sync(KillPoint from, KillPoint to) {
  return [from, to](SimDisk& disk, KillPoint point) {
    if (point == from) disk.ignore_syncs(true);
    if (point == to) disk.ignore_syncs(false);
  };
}

TEST(TrainingPlanted, NothingPlantedNothingCaught) {
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    const TrainingResult result = run_training_schedule({seed});
    EXPECT_NE(result.verdict, Verdict::wrong) << seed << ": " << result.message;
  }
}

TEST(TrainingPlanted, NoSyncAtAll) {
  const Plant plant = [](SimDisk& disk, KillPoint) { disk.ignore_syncs(true); };
  expect_caught("no sync", [&] { return plant; });
}

TEST(TrainingPlanted, CommitBeforeSlotsAreSynced) {
  // What can go wrong does so between two points that are close together: crash there, once.
  expect_caught("commit before slots", [] {
    const Plant skip = skip_sync(KillPoint::before_slot_sync, KillPoint::after_slot_sync);
    return [skip, turn = 2](SimDisk& disk, KillPoint point) mutable {
      skip(disk, point);
      if (point == KillPoint::before_commit_sync && --turn == 0) disk.crash();
    };
  });
}

TEST(TrainingPlanted, CommitRecordNotSynced) {
  expect_caught("record not synced", [] {
    return skip_sync(KillPoint::before_commit_sync, KillPoint::after_commit_sync);
  });
}

TEST(TrainingPlanted, LogNotSynced) {
  // Again two points that are close together: the log's record is there, the log is not.
  expect_caught("log not synced", [] {
    const Plant skip = skip_sync(KillPoint::before_log_sync, KillPoint::after_log_sync);
    return [skip, turn = 2](SimDisk& disk, KillPoint point) mutable {
      skip(disk, point);
      if (point == KillPoint::after_log_record && --turn == 0) disk.crash();
    };
  });
}

TEST(TrainingPlanted, GroupNotSyncedBeforeItsOldPlaceIsReused) {
  expect_caught("group not synced", [] {
    return skip_sync(KillPoint::before_progress_sync, KillPoint::after_progress_sync);
  });
}

TEST(TrainingPlanted, NoChecksum) {
  const Switch on(planted_no_checksum);
  expect_caught("no checksum", [] { return Plant(); });
}

TEST(TrainingPlanted, SlotReusedEarly) {
  const Switch on(planted_slot_reuse);
  expect_caught("slot reused", [] { return Plant(); });
}

// The plan checker stands before the executor: what it lets pass must be one that others imply.
TEST(TrainingPlanted, DroppedDependency) {
  int refused = 0, harmless = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    planted_dropped_dependency = seed * 7;
    const TrainingResult result = run_training_schedule({seed});
    if (result.verdict != Verdict::wrong)
      ++harmless;
    else if (result.message.find("[plan check]") != std::string::npos)
      ++refused;
    else
      ADD_FAILURE() << "seed " << seed << ": " << result.message;
  }
  planted_dropped_dependency.reset();
  std::cout << "dropped dependency: " << refused << " refused before they ran, " << harmless
            << " without effect\n";
  EXPECT_GE(refused, 20);
}

}  // namespace
}  // namespace outsize::train_test
