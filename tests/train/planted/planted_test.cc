// The schedules that training passes must fail for training with a bug.
#include <gtest/gtest.h>

#include "storage/planted/plants.h"
#include "train/planted/dropped.h"
#include "train/twin/training_schedule.h"

namespace outsize::train_test {
namespace {

constexpr std::uint64_t kSeeds = 120;

using Plant = std::function<void(SimDisk&, KillPoint)>;

void expect_caught(const char* name, const Plant& plant) {
  int caught = 0;
  std::uint64_t seed = 0;
  for (; seed < kSeeds && caught < 3; ++seed)
    caught += run_training_schedule({seed, plant}).verdict == Verdict::wrong;
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
  expect_caught("no sync", [](SimDisk& disk, KillPoint) { disk.ignore_syncs(true); });
}

TEST(TrainingPlanted, CommitBeforeSlotsAreSynced) {
  expect_caught("commit before slots",
                skip_sync(KillPoint::before_slot_sync, KillPoint::after_slot_sync));
}

TEST(TrainingPlanted, CommitRecordNotSynced) {
  expect_caught("record not synced",
                skip_sync(KillPoint::before_commit_sync, KillPoint::after_commit_sync));
}

TEST(TrainingPlanted, NoChecksum) {
  const Switch on(planted_no_checksum);
  expect_caught("no checksum", {});
}

TEST(TrainingPlanted, SlotReusedEarly) {
  const Switch on(planted_slot_reuse);
  expect_caught("slot reused", {});
}

// The plan checker stands before the executor: what it lets pass must be one that others imply.
TEST(TrainingPlanted, DroppedDependency) {
  int refused = 0, harmless = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    planted_dropped_dependency = seed * 7;
    const TrainingResult result = run_training_schedule({seed});
    if (result.verdict != Verdict::wrong)
      ++harmless;
    else if (result.message.find("[plan checker]") != std::string::npos)
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
