// Step time over memory budgets: what RAM buys, before a run or a machine is chosen.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "config/run_config.h"
#include "train/trial.h"

namespace outsize {

struct MemoryCurve {
  std::vector<Trial> points;  // from the smallest budget that plans to all in RAM, both included
  std::int64_t tokens = 0;    // of a step
  bool whole = true;          // false: planning takes long, and there are fewer points
};

struct CurveOptions {
  int points = 12;      // at most, in equal ratios
  double seconds = 45;  // after which no further one is begun
  std::function<void(const std::string&)> report = [](const std::string&) {};
};

// Throws InvalidArgument where no machine is known.
MemoryCurve memory_curve(const Trials& trials, const CurveOptions& options = {});

// A table.
std::string describe(const MemoryCurve& curve);
nlohmann::json to_json(const MemoryCurve& curve);
// A picture. `title`: model and batch.
std::string to_svg(const MemoryCurve& curve, const std::string& title);

}  // namespace outsize
