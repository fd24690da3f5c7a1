#include "ops/gated_activation/gated_activation.h"

#include "core/error.h"
#include "graph/differentiate.h"
#include "ops/gated_activation/gated_activation_cpu.h"

namespace outsize {
namespace {

ActivationKind kind_of(const Attrs& attrs) {
  return static_cast<ActivationKind>(attrs.integer("kind"));
}

std::vector<ValueType> infer(const Attrs& attrs, std::span<const ValueType> inputs) {
  if (inputs.size() != 2)
    fail(ErrorKind::InvalidArgument,
         "[gated_activation] wrong count of inputs; got {}; expected gate and up", inputs.size());
  if (inputs[0] != inputs[1] || (inputs[0].dtype != DType::f32 && inputs[0].dtype != DType::bf16))
    fail(ErrorKind::InvalidArgument,
         "[gated_activation] gate and up do not match; got {} and {}; expected equal f32 or bf16",
         to_string(inputs[0]), to_string(inputs[1]));
  const std::int64_t kind = attrs.integer("kind");
  if (kind != 0 && kind != 1)
    fail(ErrorKind::InvalidArgument,
         "[gated_activation] unknown kind; got {}; expected 0 (silu) or 1 (gelu_tanh)", kind);
  return {inputs[0]};
}

std::vector<ValueType> infer_grad(const Attrs& attrs, std::span<const ValueType> inputs) {
  ensure(inputs.size() == 3 && inputs[0] == inputs[1], "[gated_activation_grad] types");
  const ValueType type = infer(attrs, inputs.last(2)).front();
  return {type, type};
}

void reference(const Attrs& attrs, std::span<const RefTensor> inputs,
               std::span<const RefTensor> outputs) {
  for (size_t i = 0; i < outputs[0].data.size(); ++i)
    outputs[0].data[i] = activate(kind_of(attrs), inputs[0].data[i]) * inputs[1].data[i];
}

void reference_grad(const Attrs& attrs, std::span<const RefTensor> inputs,
                    std::span<const RefTensor> outputs) {
  for (size_t i = 0; i < outputs[0].data.size(); ++i) {
    const double dy = inputs[0].data[i], gate = inputs[1].data[i], up = inputs[2].data[i];
    outputs[0].data[i] = dy * up * activate_slope(kind_of(attrs), gate);
    outputs[1].data[i] = dy * activate(kind_of(attrs), gate);
  }
}

// About 20 operations for an exponential and a division.
Cost elementwise_cost(const KernelQuery& query, double flops) {
  const double bytes = static_cast<double>(query.outputs[0].bytes());
  return {flops * static_cast<double>(query.outputs[0].shape.numel()),
          bytes * static_cast<double>(query.inputs.size()),
          bytes * static_cast<double>(query.outputs.size())};
}

Cost cost(const KernelQuery& query) {
  return elementwise_cost(query, 25);
}

Cost cost_grad(const KernelQuery& query) {
  return elementwise_cost(query, 33);
}

void gradient(GradContext& context) {
  const auto outputs = context.add_node(gated_activation_grad_op(), context.attrs(),
                                        {context.cotangent(0), context.input(0), context.input(1)});
  context.set_cotangent(0, outputs[0]);
  context.set_cotangent(1, outputs[1]);
}

std::vector<Sample> samples() {
  using Kind = SampleInput::Kind;
  std::vector<Sample> list;
  for (std::int64_t kind : {0, 1}) {
    for (const Shape& shape : {Shape{0, 3}, Shape{1, 1}, Shape{5, 13}, Shape{33, 67}}) {
      const SampleInput gate{Kind::activation, shape, -2.0, 2.0, {}}, up{Kind::activation, shape};
      list.push_back(
          {"kind " + std::to_string(kind) + " " + to_string(shape), {{"kind", kind}}, {gate, up}});
    }
    const SampleInput far{Kind::activation, {129}, -12.0, 12.0, {}};
    list.push_back({"kind " + std::to_string(kind) + " far", {{"kind", kind}}, {far, far}});
  }
  return list;
}

std::vector<BadSample> bad_samples() {
  const Attrs silu{{"kind", std::int64_t{0}}};
  return {{silu, {{DType::f32, {2}}, {DType::f32, {3}}}, "do not match"},
          {silu, {{DType::i32, {2}}, {DType::i32, {2}}}, "do not match"},
          {silu, {{DType::f32, {2}}}, "wrong count"},
          {{{"kind", std::int64_t{2}}}, {{DType::f32, {2}}, {DType::f32, {2}}}, "unknown kind"}};
}

}  // namespace

const OpDef& gated_activation_op() {
  static const OpDef op = {.name = "gated_activation",
                           .infer = infer,
                           .reference = reference,
                           .cost = cost,
                           .gradient = gradient,
                           .kernels = gated_activation_kernels(),
                           .samples = samples,
                           .bad_samples = bad_samples,
                           .memory_bound = true};
  return op;
}

const OpDef& gated_activation_grad_op() {
  static const OpDef op = {.name = "gated_activation_grad",
                           .infer = infer_grad,
                           .reference = reference_grad,
                           .cost = cost_grad,
                           .kernels = gated_activation_grad_kernels(),
                           .gradient_of = &gated_activation_op()};
  return op;
}

ValueId gated_activation(Graph& graph, ValueId gate, ValueId up, ActivationKind kind) {
  return graph.add(gated_activation_op(), {{"kind", static_cast<std::int64_t>(kind)}}, {gate, up});
}

}  // namespace outsize
