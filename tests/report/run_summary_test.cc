#include "report/run_summary.h"

#include <gtest/gtest.h>

namespace outsize {
namespace {

TEST(RunSummary, ComparesMediansAndPeaks) {
  RunSummary summary;
  summary.add(100, 1.0);  // the first
  for (const double seconds : {2.0, 4.0, 50.0}) summary.add(seconds, 5.0);
  EXPECT_EQ(summary.steps(), 4);
  EXPECT_EQ(summary.text(2ll << 30, 3ll << 30),
            "4 steps, median 4.00 s, foretold 5.00 s (+25.0 %); peak memory 2.0 GiB, planned 3.0 "
            "GiB (+50.0 %)");
}

TEST(RunSummary, SaysWhatIsKnown) {
  RunSummary summary;
  summary.add(1, std::nullopt);
  EXPECT_EQ(summary.text(0, 0), "1 steps");
  summary.add(2, std::nullopt);
  EXPECT_EQ(summary.text(0, 0), "2 steps, median 2.00 s");
}

TEST(RunSummary, RemembersTheLastStepsOfALongRun) {
  RunSummary summary;
  summary.add(1, 1.0);
  for (int step = 0; step < 10000; ++step) summary.add(1, 1.0);
  for (int step = 0; step < 9000; ++step) summary.add(3, 6.0);
  EXPECT_EQ(summary.text(0, 0), "19001 steps, median 3.00 s, foretold 6.00 s (+100.0 %)");
}

}  // namespace
}  // namespace outsize
