// Timelines as a trace that Perfetto and chrome://tracing open (Trace Event Format, complete
// events).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace outsize {

// One bar of a timeline.
struct TraceEvent {
  std::string group;  // shown together: "foretold", "measured"
  std::string lane;   // a row of the group: "cpu"
  std::string name;
  double start_seconds = 0, seconds = 0;
  std::vector<std::pair<std::string, double>> numbers;  // shown with the bar
};

// {"traceEvents": [...]}: an event per bar, and names for groups and lanes in the order they first
// appear. Times become microseconds.
std::string trace_json(std::span<const TraceEvent> events);

}  // namespace outsize
