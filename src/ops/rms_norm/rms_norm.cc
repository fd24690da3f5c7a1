#include "ops/rms_norm/rms_norm.h"

#include "core/error.h"
#include "graph/differentiate.h"
#include "ops/rms_norm/rms_norm_cpu.h"
#include "ops/rms_norm/rms_norm_ref.h"

namespace outsize {
namespace {

std::vector<ValueType> infer(const Attrs&, std::span<const ValueType> inputs) {
  if (inputs.size() != 2)
    fail(ErrorKind::InvalidArgument, "[rms_norm] wrong count of inputs; got {}; expected x and w",
         inputs.size());
  const ValueType &x = inputs[0], &w = inputs[1];
  if (x.shape.ndim() != 2 || (x.dtype != DType::f32 && x.dtype != DType::bf16))
    fail(ErrorKind::InvalidArgument, "[rms_norm] x; got {}; expected f32 or bf16 [N,W]",
         to_string(x));
  if (w.dtype != DType::f32 || w.shape.ndim() != 1 || w.shape[0] == 0 ||
      x.shape[1] % w.shape[0] != 0)
    fail(ErrorKind::InvalidArgument,
         "[rms_norm] w does not match x; got {}; expected f32 [K] with K a divisor of {}",
         to_string(w), x.shape[1]);
  return {x, {DType::f32, {x.shape[0], x.shape[1] / w.shape[0]}}};
}

std::vector<ValueType> infer_grad(const Attrs& attrs, std::span<const ValueType> inputs) {
  ensure(inputs.size() == 4 && inputs[0] == inputs[1], "[rms_norm_grad] types");
  ensure(infer(attrs, inputs.subspan(1, 2))[1] == inputs[3], "[rms_norm_grad] rstd");
  return {inputs[1], inputs[2]};
}

Cost traffic(const KernelQuery& query, double flops_per_element) {
  Cost cost{flops_per_element * static_cast<double>(query.outputs[0].shape.numel()), 0, 0};
  for (const ValueType& type : query.inputs) cost.bytes_read += static_cast<double>(type.bytes());
  for (const ValueType& type : query.outputs)
    cost.bytes_written += static_cast<double>(type.bytes());
  return cost;
}

Cost cost(const KernelQuery& query) {
  return traffic(query, 5);
}

Cost cost_grad(const KernelQuery& query) {
  return traffic(query, 10);
}

void gradient(GradContext& context) {
  if (context.cotangent(0) == kNoValue) return;
  const auto outputs = context.add_node(
      rms_norm_grad_op(), context.attrs(),
      {context.cotangent(0), context.input(0), context.input(1), context.output(1)});
  context.set_cotangent(0, outputs[0]);
  context.set_cotangent(1, outputs[1]);
}

std::vector<Sample> samples() {
  using Kind = SampleInput::Kind;
  std::vector<Sample> list;
  struct Case {
    std::int64_t rows, groups, size;
    double offset;
  };
  for (const Case& c :
       {Case{1, 1, 1, 0}, Case{0, 1, 8, 0}, Case{3, 1, 7, 1}, Case{9, 1, 64, 0}, Case{5, 4, 16, 1},
        Case{130, 3, 10, 0}, Case{33, 1, 211, 1}, Case{200, 1, 32, 0}}) {
    list.push_back({std::to_string(c.rows) + "x" + std::to_string(c.groups) + "x" +
                        std::to_string(c.size) + (c.offset != 0 ? " offset" : ""),
                    {{"eps", 1e-5}, {"weight_offset", c.offset}},
                    {{Kind::activation, {c.rows, c.groups * c.size}, -0.8, 1.2, {}},
                     {Kind::vector, {c.size}}}});
  }
  // A row of zeros: eps alone keeps it finite.
  list.push_back({"zeros",
                  {{"eps", 0.25}, {"weight_offset", 0.0}},
                  {{Kind::activation, {2, 3}, 0, 0, {0, 0, 0, 1, -2, 3}}, {Kind::vector, {3}}}});
  return list;
}

std::vector<BadSample> bad_samples() {
  const Attrs attrs{{"eps", 1e-5}, {"weight_offset", 0.0}};
  return {{attrs, {{DType::f32, {2, 3}}}, "wrong count"},
          {attrs, {{DType::f32, {6}}, {DType::f32, {3}}}, "[rms_norm] x"},
          {attrs, {{DType::i32, {2, 3}}, {DType::f32, {3}}}, "[rms_norm] x"},
          {attrs, {{DType::f32, {2, 6}}, {DType::f32, {4}}}, "w does not match"},
          {attrs, {{DType::f32, {2, 6}}, {DType::f32, {0}}}, "w does not match"},
          {attrs, {{DType::bf16, {2, 6}}, {DType::bf16, {6}}}, "w does not match"}};
}

}  // namespace

const OpDef& rms_norm_op() {
  static const OpDef op = {.name = "rms_norm",
                           .infer = infer,
                           .reference = rms_norm_reference,
                           .cost = cost,
                           .gradient = gradient,
                           .kernels = rms_norm_kernels(),
                           .samples = samples,
                           .bad_samples = bad_samples,
                           .memory_bound = true};
  return op;
}

const OpDef& rms_norm_grad_op() {
  static const OpDef op = {.name = "rms_norm_grad",
                           .infer = infer_grad,
                           .reference = rms_norm_grad_reference,
                           .cost = cost_grad,
                           .kernels = rms_norm_grad_kernels(),
                           .accumulating_outputs = 2,
                           .gradient_of = &rms_norm_op()};
  return op;
}

ValueId rms_norm(Graph& graph, ValueId x, ValueId w, double eps, double weight_offset) {
  return graph.add(rms_norm_op(), {{"eps", eps}, {"weight_offset", weight_offset}}, {x, w});
}

}  // namespace outsize
