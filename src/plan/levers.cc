#include "plan/levers.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace outsize {
namespace {

constexpr std::int64_t kParts = 64;  // of the bytes of a kind

std::vector<char>& list_of(PlanKnobs& knobs, Lever lever) {
  switch (lever) {
    case Lever::first_weights:
    case Lever::weights:
      return knobs.stream_weights;
    case Lever::gradients:
      return knobs.offload_gradients;
    case Lever::state:
      return knobs.stream_state;
    case Lever::saved:
    case Lever::recompute:
      break;
  }
  return knobs.offload_saved;
}

}  // namespace

Levers::Levers(const PlanRequest& request) : calls_(request.program->calls.size()) {
  for (auto* list : {&weight_bytes_, &gradient_bytes_, &state_bytes_}) list->assign(calls_, 0);
  if (!request.training) return;
  const Program& program = *request.program;
  std::vector<char> counted(program.parameters.size(), 0);
  for (size_t c = 0; c < calls_; ++c)
    for (const int parameter : program.calls[c].parameters) {
      const auto p = static_cast<size_t>(parameter);
      if (std::exchange(counted[p], 1) != 0) continue;
      const ValueType& type = program.parameters[p].type;
      weight_bytes_[c] += type.bytes();
      gradient_bytes_[c] += type.shape.numel() * 4;
      for (const StateBytes& state : request.training->optimizer[p]) state_bytes_[c] += state.bytes;
    }
  while (first_ + 1 < calls_ && weight_bytes_[first_] == 0) ++first_;
}

const std::vector<std::int64_t>& Levers::bytes_of(Lever lever) const {
  if (lever == Lever::weights) return weight_bytes_;
  return lever == Lever::gradients ? gradient_bytes_ : state_bytes_;
}

std::int64_t Levers::steps(const PlanKnobs& knobs, Lever lever, Recompute level) const {
  const auto calls = static_cast<std::int64_t>(calls_);
  switch (lever) {
    case Lever::recompute:
      return level == Recompute::nothing ? 0 : calls;
    case Lever::saved:
      return knobs.offload_saved.empty() ? 0 : calls;
    case Lever::first_weights:
      return knobs.stream_weights.empty() ? 0 : 1;
    case Lever::weights:
      return knobs.stream_weights.empty() ? 0 : kParts;
    case Lever::gradients:
      return knobs.offload_gradients.empty() ? 0 : kParts;
    case Lever::state:
      break;
  }
  return knobs.stream_state.empty() ? 0 : kParts;
}

void Levers::set(PlanKnobs& knobs, Lever lever, Recompute level, std::int64_t step) const {
  if (lever == Lever::recompute) {
    const auto less = static_cast<Recompute>(static_cast<int>(level) - 1);
    knobs.recompute.assign(calls_, less);
    std::fill_n(knobs.recompute.begin(), step, level);
    return;
  }
  std::vector<char>& list = list_of(knobs, lever);
  if (lever == Lever::saved) {
    list.assign(calls_, 0);
    std::fill_n(list.begin(), step, 1);
    return;
  }
  if (lever == Lever::first_weights) {
    list[first_] = step > 0;
    return;
  }
  const std::vector<std::int64_t>& bytes = bytes_of(lever);
  const bool apart = lever == Lever::weights;  // the first call's
  const std::int64_t all =
      std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0}) - (apart ? bytes[first_] : 0);
  std::int64_t room = all * (kParts - step) / kParts;  // none at the last step
  for (size_t c = 0; c < calls_; ++c) {
    if (apart && c == first_) continue;
    list[c] = bytes[c] > room;
    if (list[c] == 0) room -= bytes[c];
  }
}

}  // namespace outsize
