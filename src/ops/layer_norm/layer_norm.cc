#include "ops/layer_norm/layer_norm.h"

#include <array>

#include "core/error.h"
#include "graph/differentiate.h"
#include "ops/layer_norm/layer_norm_cpu.h"
#include "ops/layer_norm/layer_norm_ref.h"

namespace outsize {
namespace {

std::vector<ValueType> infer(const Attrs&, std::span<const ValueType> inputs) {
  if (inputs.size() != 3)
    fail(ErrorKind::InvalidArgument,
         "[layer_norm] wrong count of inputs; got {}; expected x, w and b", inputs.size());
  const ValueType& x = inputs[0];
  if (x.shape.ndim() != 2 || x.shape[1] == 0 || (x.dtype != DType::f32 && x.dtype != DType::bf16))
    fail(ErrorKind::InvalidArgument, "[layer_norm] x; got {}; expected f32 or bf16 [N,D]",
         to_string(x));
  const ValueType vector{DType::f32, {x.shape[1]}};
  if (inputs[1] != vector || inputs[2] != vector)
    fail(ErrorKind::InvalidArgument,
         "[layer_norm] w and b do not match x; got {} and {}; expected {}", to_string(inputs[1]),
         to_string(inputs[2]), to_string(vector));
  const ValueType statistics{DType::f32, {x.shape[0]}};
  return {x, statistics, statistics};
}

std::vector<ValueType> infer_grad(const Attrs& attrs, std::span<const ValueType> inputs) {
  ensure(inputs.size() == 5 && inputs[0] == inputs[1], "[layer_norm_grad] types");
  const auto forward = infer(attrs, std::array{inputs[1], inputs[2], inputs[2]});
  ensure(inputs[3] == forward[1] && inputs[4] == forward[2], "[layer_norm_grad] statistics");
  return {inputs[1], inputs[2], inputs[2]};
}

Cost traffic(const KernelQuery& query, double flops_per_element) {
  Cost cost{flops_per_element * static_cast<double>(query.outputs[0].shape.numel()), 0, 0};
  for (const ValueType& type : query.inputs) cost.bytes_read += static_cast<double>(type.bytes());
  for (const ValueType& type : query.outputs)
    cost.bytes_written += static_cast<double>(type.bytes());
  return cost;
}

Cost cost(const KernelQuery& query) {
  return traffic(query, 8);
}

Cost cost_grad(const KernelQuery& query) {
  return traffic(query, 14);
}

void gradient(GradContext& context) {
  if (context.cotangent(0) == kNoValue) return;
  const auto outputs = context.add_node(layer_norm_grad_op(), context.attrs(),
                                        {context.cotangent(0), context.input(0), context.input(1),
                                         context.output(1), context.output(2)});
  for (int i = 0; i < 3; ++i) context.set_cotangent(i, outputs[static_cast<size_t>(i)]);
}

std::vector<Sample> samples() {
  using Kind = SampleInput::Kind;
  std::vector<Sample> list;
  struct Case {
    std::int64_t rows, width;
  };
  for (const Case& c :
       {Case{1, 1}, Case{0, 8}, Case{3, 7}, Case{9, 64}, Case{130, 10}, Case{33, 211}}) {
    list.push_back({std::to_string(c.rows) + "x" + std::to_string(c.width),
                    {{"eps", 1e-5}},
                    {{Kind::activation, {c.rows, c.width}},
                     {Kind::vector, {c.width}},
                     {Kind::vector, {c.width}}}});
  }
  // A mean far larger than the deviation: the variance must be taken about the mean.
  list.push_back(
      {"far from zero",
       {{"eps", 1e-5}},
       {{Kind::activation, {5, 40}, 60.0, 68.0, {}}, {Kind::vector, {40}}, {Kind::vector, {40}}}});
  // A row of equal values: eps alone keeps it finite.
  list.push_back({"equal values",
                  {{"eps", 0.25}},
                  {{Kind::activation, {2, 3}, 0, 0, {2, 2, 2, 1, -2, 3}},
                   {Kind::vector, {3}},
                   {Kind::vector, {3}}}});
  return list;
}

std::vector<BadSample> bad_samples() {
  const Attrs attrs{{"eps", 1e-5}};
  const ValueType w{DType::f32, {3}};
  return {{attrs, {{DType::f32, {2, 3}}, w}, "wrong count"},
          {attrs, {{DType::f32, {3}}, w, w}, "[layer_norm] x"},
          {attrs, {{DType::i32, {2, 3}}, w, w}, "[layer_norm] x"},
          {attrs, {{DType::f32, {2, 4}}, w, w}, "do not match"},
          {attrs, {{DType::bf16, {2, 3}}, {DType::bf16, {3}}, w}, "do not match"}};
}

}  // namespace

const OpDef& layer_norm_op() {
  static const OpDef op = {.name = "layer_norm",
                           .infer = infer,
                           .reference = layer_norm_reference,
                           .cost = cost,
                           .gradient = gradient,
                           .kernels = layer_norm_kernels(),
                           .samples = samples,
                           .bad_samples = bad_samples,
                           .memory_bound = true};
  return op;
}

const OpDef& layer_norm_grad_op() {
  static const OpDef op = {.name = "layer_norm_grad",
                           .infer = infer_grad,
                           .reference = layer_norm_grad_reference,
                           .cost = cost_grad,
                           .kernels = layer_norm_grad_kernels(),
                           .accumulating_outputs = 6,
                           .gradient_of = &layer_norm_op()};
  return op;
}

ValueId layer_norm(Graph& graph, ValueId x, ValueId w, ValueId b, double eps) {
  return graph.add(layer_norm_op(), {{"eps", eps}}, {x, w, b});
}

}  // namespace outsize
