#include "ops/activation/activation.h"

#include "core/error.h"
#include "graph/differentiate.h"
#include "ops/activation/activation_cpu.h"

namespace outsize {
namespace {

ActivationKind kind_of(const Attrs& attrs) {
  return static_cast<ActivationKind>(attrs.integer("kind"));
}

std::vector<ValueType> infer(const Attrs& attrs, std::span<const ValueType> inputs) {
  if (inputs.size() != 1)
    fail(ErrorKind::InvalidArgument, "[activation] wrong count of inputs; got {}; expected x",
         inputs.size());
  if (inputs[0].dtype != DType::f32 && inputs[0].dtype != DType::bf16)
    fail(ErrorKind::InvalidArgument, "[activation] dtype; got {}; expected f32 or bf16",
         to_string(inputs[0]));
  const std::int64_t kind = attrs.integer("kind");
  if (kind < 0 || kind >= kActivationKinds)
    fail(ErrorKind::InvalidArgument, "[activation] unknown kind; got {}; expected 0 to {}", kind,
         kActivationKinds - 1);
  return {inputs[0]};
}

std::vector<ValueType> infer_grad(const Attrs& attrs, std::span<const ValueType> inputs) {
  ensure(inputs.size() == 2 && inputs[0] == inputs[1], "[activation_grad] types");
  return infer(attrs, inputs.first(1));
}

void reference(const Attrs& attrs, std::span<const RefTensor> inputs,
               std::span<const RefTensor> outputs) {
  for (size_t i = 0; i < outputs[0].data.size(); ++i)
    outputs[0].data[i] = activate(kind_of(attrs), inputs[0].data[i]);
}

void reference_grad(const Attrs& attrs, std::span<const RefTensor> inputs,
                    std::span<const RefTensor> outputs) {
  for (size_t i = 0; i < outputs[0].data.size(); ++i)
    outputs[0].data[i] = inputs[0].data[i] * activate_slope(kind_of(attrs), inputs[1].data[i]);
}

// About 20 operations for an exponential and a division.
Cost elementwise_cost(const KernelQuery& query, double flops) {
  const double bytes = static_cast<double>(query.outputs[0].bytes());
  return {flops * static_cast<double>(query.outputs[0].shape.numel()),
          bytes * static_cast<double>(query.inputs.size()), bytes};
}

Cost cost(const KernelQuery& query) {
  return elementwise_cost(query, 24);
}

Cost cost_grad(const KernelQuery& query) {
  return elementwise_cost(query, 30);
}

void gradient(GradContext& context) {
  context.set_cotangent(0, context.add(activation_grad_op(), context.attrs(),
                                       {context.cotangent(0), context.input(0)}));
}

std::vector<Sample> samples() {
  using Kind = SampleInput::Kind;
  std::vector<Sample> list;
  for (std::int64_t kind = 0; kind < kActivationKinds; ++kind) {
    const Attrs attrs{{"kind", kind}};
    const std::string name = "kind " + std::to_string(kind) + " ";
    // relu: far from its kink, where a finite difference would straddle it.
    if (static_cast<ActivationKind>(kind) == ActivationKind::relu) {
      list.push_back({name, attrs, {{Kind::activation, {2, 3}, 0, 0, {-2, -1, -0.5, 0.5, 1, 2}}}});
      list.push_back({name + "positive", attrs, {{Kind::activation, {5, 33}, 9, 11, {}}}});
      continue;
    }
    for (const Shape& shape : {Shape{0}, Shape{1}, Shape{7, 9}, Shape{33, 67}})
      list.push_back({name + to_string(shape), attrs, {{Kind::activation, shape, -2.0, 2.0, {}}}});
    list.push_back({name + "far", attrs, {{Kind::activation, {129}, -12.0, 12.0, {}}}});
  }
  return list;
}

std::vector<BadSample> bad_samples() {
  const Attrs silu{{"kind", std::int64_t{0}}};
  return {{silu, {{DType::i32, {2}}}, "dtype"},
          {silu, {{DType::f32, {2}}, {DType::f32, {2}}}, "wrong count"},
          {{{"kind", std::int64_t{5}}}, {{DType::f32, {2}}}, "unknown kind"},
          {{{"kind", std::int64_t{-1}}}, {{DType::f32, {2}}}, "unknown kind"}};
}

}  // namespace

const OpDef& activation_op() {
  static const OpDef op = {.name = "activation",
                           .infer = infer,
                           .reference = reference,
                           .cost = cost,
                           .gradient = gradient,
                           .kernels = activation_kernels(),
                           .samples = samples,
                           .bad_samples = bad_samples,
                           .memory_bound = true};
  return op;
}

const OpDef& activation_grad_op() {
  static const OpDef op = {.name = "activation_grad",
                           .infer = infer_grad,
                           .reference = reference_grad,
                           .cost = cost_grad,
                           .kernels = activation_grad_kernels(),
                           .gradient_of = &activation_op()};
  return op;
}

ValueId activation(Graph& graph, ValueId x, ActivationKind kind) {
  return graph.add(activation_op(), {{"kind", static_cast<std::int64_t>(kind)}}, {x});
}

}  // namespace outsize
