// Training under seeded faults of the disk: every run ends with the bits of the undisturbed one, or
// stops and names what is damaged. OUTSIZE_TWIN_SCHEDULES=0:12000 (first seed and the one after the
// last) is the long mode.
#include <gtest/gtest.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "train/twin/training_schedule.h"

namespace outsize::train_test {
namespace {

struct Seeds {
  std::uint64_t first = 0, end = 240;
};

Seeds wanted_seeds() {
  Seeds seeds;
  if (const char* text = std::getenv("OUTSIZE_TWIN_SCHEDULES")) {
    const std::string_view all(text);
    const auto first = std::from_chars(all.begin(), all.end(), seeds.first);
    const bool more = first.ptr != all.end() && *first.ptr == ':';
    EXPECT_TRUE(more && std::from_chars(first.ptr + 1, all.end(), seeds.end).ptr == all.end())
        << all << "; expected FIRST:END";
  }
  return seeds;
}

TEST(TrainingTwin, SurvivesEveryFaultOrNamesTheDamage) {
  const Seeds wanted = wanted_seeds();
  const std::uint64_t seeds = wanted.end - wanted.first;
  std::uint64_t identical = 0, stopped = 0, crashes = 0, starts = 0, errors = 0, pauses = 0,
                scratch = 0, wrong = 0;
  for (std::uint64_t seed = wanted.first; seed < wanted.end && wrong < 5; ++seed) {
    const TrainingResult result = run_training_schedule({seed});
    identical += result.verdict == Verdict::identical;
    stopped += result.verdict == Verdict::stopped;
    wrong += result.verdict == Verdict::wrong;
    crashes += static_cast<std::uint64_t>(result.crashes);
    starts += static_cast<std::uint64_t>(result.starts);
    errors += static_cast<std::uint64_t>(result.errors);
    pauses += static_cast<std::uint64_t>(result.pauses);
    scratch += static_cast<std::uint64_t>(result.scratch_damage);
    EXPECT_NE(result.verdict, Verdict::wrong) << "seed " << seed << ": " << result.message;
  }
  std::cout << seeds << " schedules: " << identical << " identical, " << stopped
            << " stopped with named damage, " << wrong << " wrong; " << starts << " starts, "
            << crashes << " crashes, " << errors << " stops by errors (" << scratch
            << " of scratch damage), " << pauses << " pauses on a full disk\n";
  EXPECT_GT(identical, seeds / 2);
  EXPECT_GT(stopped, seeds / 100);  // damage is met, too
  EXPECT_GT(crashes, seeds / 2);
  EXPECT_GT(pauses, seeds / 100);
}

}  // namespace
}  // namespace outsize::train_test
