#include "ops/add/add.h"

#include "core/error.h"
#include "graph/differentiate.h"
#include "ops/add/add_cpu.h"

namespace outsize {
namespace {

std::vector<ValueType> infer(const Attrs&, std::span<const ValueType> inputs) {
  if (inputs.size() != 2 || inputs[0] != inputs[1] || !is_float(inputs[0].dtype))
    fail(ErrorKind::InvalidArgument, "[add] operands differ; got {}; expected two equal types",
         inputs.size() == 2 ? to_string(inputs[0]) + " and " + to_string(inputs[1])
                            : "another count");
  return {inputs[0]};
}

void reference(const Attrs&, std::span<const RefTensor> inputs,
               std::span<const RefTensor> outputs) {
  for (size_t i = 0; i < outputs[0].data.size(); ++i)
    outputs[0].data[i] = inputs[0].data[i] + inputs[1].data[i];
}

Cost cost(const KernelQuery& query) {
  const double bytes = static_cast<double>(query.outputs[0].bytes());
  return {static_cast<double>(query.outputs[0].shape.numel()), 2 * bytes, bytes};
}

void gradient(GradContext& context) {
  for (int i = 0; i < 2; ++i)
    if (context.needs(i)) context.set_cotangent(i, context.cotangent(0));
}

std::vector<Sample> samples() {
  using Kind = SampleInput::Kind;
  std::vector<Sample> list;
  for (const Shape& shape : {Shape{0}, Shape{1}, Shape{7, 13}, Shape{33, 129}})
    list.push_back({to_string(shape), {}, {{Kind::activation, shape}, {Kind::activation, shape}}});
  return list;
}

std::vector<BadSample> bad_samples() {
  return {{{}, {{DType::f32, {2}}, {DType::f32, {3}}}, "operands differ"},
          {{}, {{DType::f32, {2}}, {DType::bf16, {2}}}, "operands differ"},
          {{}, {{DType::f32, {2}}}, "operands differ"}};
}

}  // namespace

const OpDef& add_op() {
  static const OpDef op = {.name = "add",
                           .infer = infer,
                           .reference = reference,
                           .cost = cost,
                           .gradient = gradient,
                           .kernels = add_kernels(),
                           .samples = samples,
                           .bad_samples = bad_samples,
                           .memory_bound = true};
  return op;
}

ValueId add(Graph& graph, ValueId a, ValueId b) {
  return graph.add(add_op(), {}, {a, b});
}

}  // namespace outsize
