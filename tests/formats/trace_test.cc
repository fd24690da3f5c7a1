#include "formats/trace.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

namespace outsize {
namespace {

TEST(Trace, EveryEventStandsThereOnceAndLanesHaveNames) {
  const std::vector<TraceEvent> events = {
      {"foretold", "cpu", "forward \"a\"\n", 0, 0.5, {{"gflop", 2.5}}},
      {"foretold", "disk", "read", 0.25, 1, {}},
      {"measured", "cpu", "bad \xff text", 0, 0.75, {}},
  };
  const nlohmann::json trace = nlohmann::json::parse(trace_json(events));
  std::set<std::pair<int, int>> lanes;
  int bars = 0, names = 0;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] == "M") {
      ++names;
      continue;
    }
    ASSERT_EQ(event["ph"], "X");
    ++bars;
    lanes.insert({event["pid"].get<int>(), event["tid"].get<int>()});
  }
  EXPECT_EQ(bars, 3);
  EXPECT_EQ(lanes.size(), 3u);
  EXPECT_EQ(names, 2 + 3);  // two groups, three lanes
  const auto& first = trace["traceEvents"][2];
  EXPECT_EQ(first["name"], "forward \"a\"\n");
  EXPECT_DOUBLE_EQ(first["dur"].get<double>(), 5e5);
  EXPECT_DOUBLE_EQ(first["args"]["gflop"].get<double>(), 2.5);
}

TEST(Trace, NothingIsStillATrace) {
  EXPECT_TRUE(nlohmann::json::parse(trace_json({}))["traceEvents"].empty());
}

}  // namespace
}  // namespace outsize
