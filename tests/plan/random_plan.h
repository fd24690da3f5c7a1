// Random programs to plan: chains of calls with shared inputs, tied parameters, saved values,
// scratch, several microbatches and optimizer state. Only sizes and connections are made up: the
// planner sees no kernels.
#pragma once

#include <cstdint>

#include "core/rng.h"
#include "plan/planner.h"

namespace outsize::testing_plan {

// Draws in sequence from one seed.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : rng_(seed, 0) {}
  // In [low, high].
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(
                     rng_.below(count_++, static_cast<std::uint64_t>(high - low + 1)));
  }
  bool chance(double probability) { return rng_.uniform(count_++) < probability; }
  template <class List>
  auto& pick(List& list) {
    return list[static_cast<size_t>(between(0, static_cast<std::int64_t>(list.size()) - 1))];
  }

 private:
  Rng rng_;
  std::uint64_t count_ = 0;
};

struct RandomRequest {
  explicit RandomRequest(std::uint64_t seed);
  RandomRequest(const RandomRequest&) = delete;

  Program program;
  PlanRequest request;  // borrows `program`

 private:
  int add_value(std::string name, ProgramValue::Role role, ValueType type);
  int add_parameter();
  void add_call(std::string name, std::vector<int> inputs, int output, int parameters,
                std::vector<int> differentiable);
  void add_recomputing();
  void add_training();

  Dice dice_;
};

}  // namespace outsize::testing_plan
