// Why a plan takes what it takes, and what a change would buy: tried by planning again.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "train/trial.h"

namespace outsize {

struct Change {
  std::string name;     // "+1 GiB RAM"
  std::string setting;  // "budget.memory=5GiB"; empty: a change of the machine
  Trial trial;
};

struct Explanation {
  Trial base;                   // the plan itself
  double planning_seconds = 0;  // that it took
  bool slow = false;            // too long to try changes
  std::vector<Change> changes;  // none where no machine is known
};

// `base` is the run's own plan, which took `planning_seconds` to make.
Explanation explain(const Trials& trials, Trial base, double planning_seconds);

// Lines "more …" and "planned in …".
std::string describe(const Explanation& explanation);
nlohmann::json to_json(const Explanation& explanation);

// Nothing fits. Throws OutOfMemory with the smallest budget that would do, and the gentlest change
// of the configuration that fits the present one.
[[noreturn]] void refuse(const Trials& trials);

}  // namespace outsize
