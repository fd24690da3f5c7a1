#include "optim/update_rule.h"

#include <cmath>

#include "core/error.h"

namespace outsize {

std::vector<StateBuffer> UpdateRule::state(const ParameterSpec& spec) const {
  if (spec.dtype != DType::f32 && spec.dtype != DType::bf16)
    fail(ErrorKind::InvalidArgument,
         "[{}] no rule for weights of this dtype; got {}; expected f32 or "
         "bf16",
         name(), name_of(spec.dtype));
  std::vector<StateBuffer> buffers = rule_state(spec);
  if (spec.dtype == DType::bf16)
    buffers.insert(buffers.begin(), {kMasterLow, DType::i16, spec.shape.numel()});
  return buffers;
}

Status UpdateRule::update(const ParameterSpec& spec, const UpdateArgs& args) const noexcept {
  if (spec.dtype != DType::f32 && spec.dtype != DType::bf16)
    return Status("[update] weight is neither f32 nor bf16");
  const bool split = spec.dtype == DType::bf16;
  const size_t expected = static_cast<size_t>(rule_state_count(spec)) + (split ? 1 : 0);
  if (args.state.size() != expected)
    return Status("[update] number of state buffers differs from what the rule declared");
  if (args.step < 1) return Status("[update] step is below 1");
  if (!std::isfinite(args.lr)) return Status("[update] learning rate is not finite");
  if (!std::isfinite(args.gradient_scale)) return Status("[update] gradient scale is not finite");
  const std::int64_t count = spec.shape.numel();
  if (count == 0) return {};
  bool null = args.weight == nullptr || args.gradient == nullptr;
  for (void* buffer : args.state) null |= buffer == nullptr;
  if (null) return Status("[update] weight, gradient or state address is null");
  const UpdateTarget target{
      .count = count,
      .weight = args.weight,
      .low = split ? static_cast<std::int16_t*>(args.state[0]) : nullptr,
      .rule = args.state.subspan(split ? 1 : 0),
  };
  return apply(spec, target, args);
}

}  // namespace outsize
