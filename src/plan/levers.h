// The lists of PlanKnobs as levers that the search moves step by step, from everything streamed or
// recomputed to everything kept in RAM.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/planner.h"

namespace outsize {

enum class Lever { first_weights, weights, gradients, saved, recompute, state };
constexpr Lever kLevers[] = {Lever::first_weights, Lever::weights,   Lever::gradients,
                             Lever::saved,         Lever::recompute, Lever::state};

class Levers {
 public:
  explicit Levers(const PlanRequest& request);

  // Steps down to 0 that the lever has; 0: nothing of its kind is streamed. `level`: what calls
  // recompute at most.
  std::int64_t steps(const PlanKnobs& knobs, Lever lever, Recompute level) const;
  // At 0 all of it stays in RAM, or is recomputed a level less. In between: the first calls keep
  // their parameters, gradients and state, since updates come to them first, and the last ones
  // their saved values, which live shortest. The weights of the very first call, an embedding and
  // often the head too, have a lever of their own: a step can do nothing before they are there.
  void set(PlanKnobs& knobs, Lever lever, Recompute level, std::int64_t step) const;

 private:
  const std::vector<std::int64_t>& bytes_of(Lever lever) const;

  size_t calls_;
  size_t first_ = 0;  // call that has parameters
  // Per call, of parameters that it uses first.
  std::vector<std::int64_t> weight_bytes_, gradient_bytes_, state_bytes_;
};

}  // namespace outsize
