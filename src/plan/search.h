// Which knobs: the fastest plan that fits, by the simulator.
#pragma once

#include <string>
#include <vector>

#include "plan/planner.h"
#include "plan/simulate.h"

namespace outsize {

struct SearchOptions {
  SimulatedMachine machine;
  bool may_use_disk = false;  // otherwise everything stays in RAM
  bool durable = false;       // the run keeps a store already: every step goes on writing to it
  bool ring = false;          // a store has one spare slot and a log
};

// One way that was tried.
struct Candidate {
  std::string name;  // "call by call, saved values on disk"
  PlanKnobs knobs;
  double seconds = 0;
  std::int64_t arena_bytes = 0;
};

struct SearchResult {
  PlanKnobs knobs;
  Plan plan;
  std::vector<Candidate> candidates;  // that fit, the fastest first; the plan is the first one's
};

// Tries everything in RAM first, which nothing beats when it fits; then, per order of microbatches
// and way of keeping what backward needs, streams everything and keeps in RAM first what costs
// nothing, then what saves most time per byte (plan/levers.h). With streams the plan is the middle
// part of deferred updates or, where that is faster, the whole step, with updates at its end or,
// where nothing clips, with backward. Of programs with more than 200 calls it looks at fewer ways.
// Tries several at once, on all threads; what it finds is the same for any number of them. Throws
// OutOfMemory as make_plan, with the smallest peak that was found.
SearchResult search_plan(const PlanRequest& request, const SearchOptions& options);

}  // namespace outsize
