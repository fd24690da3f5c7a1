#include "ops/rope/rope.h"

#include "core/error.h"
#include "graph/differentiate.h"
#include "ops/rope/rope_cpu.h"

namespace outsize {
namespace {

std::vector<ValueType> infer(const Attrs& attrs, std::span<const ValueType> inputs) {
  if (inputs.size() != 2)
    fail(ErrorKind::InvalidArgument, "[rope] wrong count of inputs; got {}; expected x and table",
         inputs.size());
  const ValueType &x = inputs[0], &table = inputs[1];
  const std::int64_t head_dim = attrs.integer("head_dim");
  if (head_dim < 2 || head_dim % 2 != 0)
    fail(ErrorKind::InvalidArgument, "[rope] head_dim; got {}; expected an even number", head_dim);
  if (x.shape.ndim() != 2 || x.shape[1] % head_dim != 0 ||
      (x.dtype != DType::f32 && x.dtype != DType::bf16))
    fail(ErrorKind::InvalidArgument, "[rope] x; got {}; expected f32 or bf16 [N, heads·{}]",
         to_string(x), head_dim);
  if (table != ValueType{DType::f32, {x.shape[0], head_dim}})
    fail(ErrorKind::InvalidArgument, "[rope] table does not match x; got {}; expected f32[{},{}]",
         to_string(table), x.shape[0], head_dim);
  return {x};
}

void reference(const Attrs& attrs, std::span<const RefTensor> inputs,
               std::span<const RefTensor> outputs) {
  const auto head = static_cast<size_t>(attrs.integer("head_dim")), half = head / 2;
  const auto width = static_cast<size_t>(inputs[0].shape[1]);
  const double direction = attrs.integer_or("inverse", 0) ? -1.0 : 1.0;
  for (size_t first = 0; first < inputs[0].data.size(); first += head) {
    const double* angles = inputs[1].data.data() + first / width * head;
    for (size_t i = 0; i < half; ++i) {
      const double cosine = angles[i], sine = direction * angles[half + i];
      const double x1 = inputs[0].data[first + i], x2 = inputs[0].data[first + half + i];
      outputs[0].data[first + i] = x1 * cosine - x2 * sine;
      outputs[0].data[first + half + i] = x2 * cosine + x1 * sine;
    }
  }
}

Cost cost(const KernelQuery& query) {
  const double bytes = static_cast<double>(query.outputs[0].bytes());
  return {3.0 * static_cast<double>(query.outputs[0].shape.numel()),
          bytes + static_cast<double>(query.inputs[1].bytes()), bytes};
}

void gradient(GradContext& context) {
  if (!context.needs(0)) return;
  Attrs attrs = context.attrs();
  attrs.set("inverse", std::int64_t{1} - attrs.integer_or("inverse", 0));
  context.set_cotangent(0, context.add(rope_op(), attrs, {context.cotangent(0), context.input(1)}));
}

std::vector<Sample> samples() {
  using Kind = SampleInput::Kind;
  std::vector<Sample> list;
  struct Case {
    std::int64_t rows, heads, head_dim, inverse;
  };
  for (const Case& c : {Case{1, 1, 2, 0}, Case{0, 2, 4, 0}, Case{3, 2, 6, 0}, Case{3, 2, 6, 1},
                        Case{5, 3, 32, 0}, Case{17, 1, 70, 0}, Case{9, 4, 64, 1}}) {
    list.push_back({std::to_string(c.rows) + "x" + std::to_string(c.heads) + "x" +
                        std::to_string(c.head_dim) + (c.inverse ? " inverse" : ""),
                    {{"head_dim", c.head_dim}, {"inverse", c.inverse}},
                    {{Kind::activation, {c.rows, c.heads * c.head_dim}},
                     {Kind::vector, {c.rows, c.head_dim}}}});
  }
  return list;
}

std::vector<BadSample> bad_samples() {
  const Attrs four{{"head_dim", std::int64_t{4}}}, three{{"head_dim", std::int64_t{3}}};
  return {{four, {{DType::f32, {2, 8}}}, "wrong count"},
          {three, {{DType::f32, {2, 6}}, {DType::f32, {2, 3}}}, "head_dim"},
          {four, {{DType::f32, {2, 6}}, {DType::f32, {2, 4}}}, "[rope] x"},
          {four, {{DType::i32, {2, 8}}, {DType::f32, {2, 4}}}, "[rope] x"},
          {four, {{DType::f32, {2, 8}}, {DType::f32, {3, 4}}}, "table does not match"},
          {four, {{DType::bf16, {2, 8}}, {DType::bf16, {2, 4}}}, "table does not match"}};
}

}  // namespace

const OpDef& rope_op() {
  static const OpDef op = {.name = "rope",
                           .infer = infer,
                           .reference = reference,
                           .cost = cost,
                           .gradient = gradient,
                           .kernels = rope_kernels(),
                           .samples = samples,
                           .bad_samples = bad_samples,
                           .memory_bound = true};
  return op;
}

ValueId rope(Graph& graph, ValueId x, ValueId table, std::int64_t head_dim) {
  return graph.add(rope_op(), {{"head_dim", head_dim}, {"inverse", std::int64_t{0}}}, {x, table});
}

}  // namespace outsize
