#include "ops/embedding/embedding.h"

#include "core/error.h"
#include "graph/differentiate.h"
#include "ops/embedding/embedding_cpu.h"

namespace outsize {
namespace {

std::vector<ValueType> infer(const Attrs&, std::span<const ValueType> inputs) {
  if (inputs.size() != 2)
    fail(ErrorKind::InvalidArgument,
         "[embedding] wrong count of inputs; got {}; expected table and ids", inputs.size());
  const ValueType &table = inputs[0], &ids = inputs[1];
  if (table.shape.ndim() != 2 || (table.dtype != DType::f32 && table.dtype != DType::bf16))
    fail(ErrorKind::InvalidArgument, "[embedding] table; got {}; expected f32 or bf16 [V,D]",
         to_string(table));
  if (ids.shape.ndim() != 1 || ids.dtype != DType::i32)
    fail(ErrorKind::InvalidArgument, "[embedding] ids; got {}; expected i32 [N]", to_string(ids));
  return {{table.dtype, {ids.shape[0], table.shape[1]}}};
}

std::vector<ValueType> infer_grad(const Attrs& attrs, std::span<const ValueType> inputs) {
  ensure(inputs.size() == 2 && inputs[0].shape.ndim() == 2 &&
             inputs[1] == ValueType{DType::i32, {inputs[0].shape[0]}},
         "[embedding_grad] types");
  return {{DType::f32, {attrs.integer("vocabulary"), inputs[0].shape[1]}}};
}

void reference(const Attrs& attrs, std::span<const RefTensor> inputs,
               std::span<const RefTensor> outputs) {
  const std::int64_t width = outputs[0].shape[1];
  for (std::int64_t n = 0; n < outputs[0].shape[0]; ++n) {
    const auto id = static_cast<std::int64_t>(inputs[1].data[static_cast<size_t>(n)]);
    for (std::int64_t d = 0; d < width; ++d)
      outputs[0].data[static_cast<size_t>(n * width + d)] =
          inputs[0].data[static_cast<size_t>(id * width + d)] * attrs.real("scale");
  }
}

void reference_grad(const Attrs& attrs, std::span<const RefTensor> inputs,
                    std::span<const RefTensor> outputs) {
  const std::int64_t width = outputs[0].shape[1];
  for (std::int64_t n = 0; n < inputs[0].shape[0]; ++n) {
    const auto id = static_cast<std::int64_t>(inputs[1].data[static_cast<size_t>(n)]);
    for (std::int64_t d = 0; d < width; ++d)
      outputs[0].data[static_cast<size_t>(id * width + d)] +=
          inputs[0].data[static_cast<size_t>(n * width + d)] * attrs.real("scale");
  }
}

Cost cost(const KernelQuery& query) {
  const double rows = static_cast<double>(query.outputs[0].bytes());
  return {static_cast<double>(query.outputs[0].shape.numel()),
          rows + static_cast<double>(query.inputs[1].bytes()), rows};
}

Cost cost_grad(const KernelQuery& query) {
  const double elements = static_cast<double>(query.inputs[0].shape.numel());
  const double given =
      static_cast<double>(query.inputs[0].bytes()) + static_cast<double>(query.inputs[1].bytes());
  const double rows = 4 * elements;  // f32 rows read and written
  Cost cost{2 * elements, given + rows, rows};
  if (!query.attrs.integer_or("accumulate", 0))
    cost.bytes_written += static_cast<double>(query.outputs[0].bytes());
  return cost;
}

void gradient(GradContext& context) {
  if (!context.needs(0)) return;
  Attrs attrs = context.attrs();
  attrs.set("vocabulary", context.input_type(0).shape[0]);
  context.set_cotangent(
      0, context.add(embedding_grad_op(), attrs, {context.cotangent(0), context.input(1)}));
}

std::vector<Sample> samples() {
  using Kind = SampleInput::Kind;
  std::vector<Sample> list;
  struct Case {
    std::int64_t vocabulary, width, count;
    double scale;
  };
  for (const Case& c : {Case{1, 1, 1, 1.0}, Case{5, 3, 0, 1.0}, Case{7, 8, 5, 2.5},
                        Case{11, 67, 40, 1.0}, Case{300, 130, 33, 25.25}}) {
    const double last = static_cast<double>(c.vocabulary - 1);
    list.push_back(
        {std::to_string(c.vocabulary) + "x" + std::to_string(c.width) + " ids " +
             std::to_string(c.count),
         {{"scale", c.scale}},
         {{Kind::weight, {c.vocabulary, c.width}}, {Kind::integers, {c.count}, 0.0, last, {}}}});
  }
  return list;
}

std::vector<BadSample> bad_samples() {
  const Attrs one{{"scale", 1.0}};
  return {{one, {{DType::f32, {2, 3}}}, "wrong count"},
          {one, {{DType::f32, {2}}, {DType::i32, {4}}}, "table"},
          {one, {{DType::i32, {2, 3}}, {DType::i32, {4}}}, "table"},
          {one, {{DType::f32, {2, 3}}, {DType::f32, {4}}}, "ids"},
          {one, {{DType::f32, {2, 3}}, {DType::i32, {4, 1}}}, "ids"}};
}

}  // namespace

const OpDef& embedding_op() {
  static const OpDef op = {.name = "embedding",
                           .infer = infer,
                           .reference = reference,
                           .cost = cost,
                           .gradient = gradient,
                           .kernels = embedding_kernels(),
                           .samples = samples,
                           .bad_samples = bad_samples,
                           .time_depends_on = "tokens"};
  return op;
}

const OpDef& embedding_grad_op() {
  static const OpDef op = {.name = "embedding_grad",
                           .infer = infer_grad,
                           .reference = reference_grad,
                           .cost = cost_grad,
                           .kernels = embedding_grad_kernels(),
                           .accumulating_outputs = 1,
                           .gradient_of = &embedding_op(),
                           .time_depends_on = "tokens"};
  return op;
}

ValueId embedding(Graph& graph, ValueId table, ValueId ids, double scale) {
  return graph.add(embedding_op(), {{"scale", scale}}, {table, ids});
}

}  // namespace outsize
