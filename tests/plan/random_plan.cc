#include "plan/random_plan.h"

#include <fmt/format.h>

#include <numeric>

namespace outsize::testing_plan {
namespace {

ValueType activation(Dice& dice) {
  return {dice.chance(0.5) ? DType::f32 : DType::bf16, {dice.between(1, 40), dice.between(1, 20)}};
}

}  // namespace

RandomRequest::RandomRequest(std::uint64_t seed) : dice_(seed) {
  using Role = ProgramValue::Role;
  const int tokens = add_value("tokens", Role::batch, {DType::i32, {dice_.between(1, 50)}});
  const int targets = add_value("targets", Role::batch, {DType::i32, {dice_.between(1, 50)}});
  std::vector<int> shared;
  if (dice_.chance(0.5)) {  // a table that all blocks read and nothing flows back into
    shared.push_back(add_value("table", Role::boundary, activation(dice_)));
    add_call("table", {tokens}, shared.front(), 0, {});
  }
  int x = add_value("x0", Role::boundary, activation(dice_));
  add_call("embed", {tokens}, x, 1, {});
  const std::int64_t blocks = dice_.between(1, 7);
  for (std::int64_t i = 1; i <= blocks; ++i) {
    const int next = add_value(fmt::format("x{}", i), Role::boundary, activation(dice_));
    std::vector<int> inputs{x};
    inputs.insert(inputs.end(), shared.begin(), shared.end());
    add_call(fmt::format("block.{}", i), inputs, next, static_cast<int>(dice_.between(0, 4)), {0});
    x = next;
  }
  const int loss = add_value("loss", Role::result, {DType::f64, {1}});
  add_call("head", {x, targets}, loss, 1, {0});
  if (dice_.chance(0.5)) {  // tied to the embedding
    program.parameters.pop_back();
    program.calls.back().parameters.front() = 0;
  }
  SegmentProfile& head = request.segments.back();
  if (dice_.chance(0.5)) {
    head.skip_forward = true;
    head.outputs_again = {0};
    head.saved.clear();
    head.saved_inputs = {0, 1};
  }
  request.program = &program;
  add_recomputing();
  if (dice_.chance(0.85)) add_training();
}

int RandomRequest::add_value(std::string name, ProgramValue::Role role, ValueType type) {
  program.values.push_back({std::move(name), type, role});
  return static_cast<int>(program.values.size()) - 1;
}

int RandomRequest::add_parameter() {
  const int index = static_cast<int>(program.parameters.size());
  const ValueType type{dice_.chance(0.5) ? DType::f32 : DType::bf16,
                       {dice_.between(1, 150), dice_.between(1, 40)}};
  program.parameters.push_back({fmt::format("w{}", index), type, true});
  return index;
}

// A segment of its own per call. `differentiable`: indices of inputs that get a cotangent.
void RandomRequest::add_call(std::string name, std::vector<int> inputs, int output, int parameters,
                             std::vector<int> differentiable) {
  Call call{
      std::move(name), static_cast<int>(program.calls.size()), std::move(inputs), {output}, {}};
  SegmentProfile profile;
  for (int p = 0; p < parameters; ++p) {
    const bool again = p > 0 && dice_.chance(0.1);  // one parameter used twice
    call.parameters.push_back(again ? call.parameters.back() : add_parameter());
    profile.parameter_gradients.push_back(p);
  }
  profile.input_cotangents = std::move(differentiable);
  if (parameters > 0 || !profile.input_cotangents.empty()) {
    profile.output_cotangents = {0};
    for (std::int64_t s = dice_.between(0, 3); s > 0; --s)
      profile.saved.push_back(activation(dice_));
    for (size_t i = 0; i < call.inputs.size(); ++i)
      if (dice_.chance(0.7)) profile.saved_inputs.push_back(static_cast<int>(i));
    profile.backward_scratch_bytes = dice_.chance(0.8) ? dice_.between(1, 3000) : 0;
  }
  profile.forward_scratch_bytes = dice_.chance(0.8) ? dice_.between(1, 3000) : 0;
  program.calls.push_back(std::move(call));
  request.segments.push_back(std::move(profile));
}

// Variants that save less and need more scratch in backward.
void RandomRequest::add_recomputing() {
  for (int level = 1; level < kRecomputeCount; ++level) {
    request.recomputing.push_back(request.segments);
    for (SegmentProfile& profile : request.recomputing.back()) {
      const auto kept = static_cast<std::int64_t>(profile.saved.size());
      profile.saved.resize(level + 1 < kRecomputeCount ? static_cast<size_t>(dice_.between(0, kept))
                                                       : 0);
      profile.backward_scratch_bytes += dice_.between(1, 3000);
    }
  }
}

void RandomRequest::add_training() {
  request.training.emplace();
  request.training->accumulation = static_cast<int>(dice_.between(1, 3));
  const std::int64_t states = dice_.between(0, 3);
  for (const ProgramParameter& parameter : program.parameters) {
    request.training->optimizer.emplace_back();
    for (std::int64_t s = 0; s < states; ++s)
      request.training->optimizer.back().push_back(
          {fmt::format("state{}", s), parameter.type.shape.numel() * 4});
    request.training->update_scratch_bytes.push_back(dice_.chance(0.3) ? dice_.between(1, 500) : 0);
  }
}

}  // namespace outsize::testing_plan
