#include "ops/linear/linear.h"

#include "core/error.h"
#include "graph/differentiate.h"
#include "ops/linear/linear_cpu.h"

namespace outsize {
namespace {

bool is_matrix(const ValueType& type) {
  return type.shape.ndim() == 2 && (type.dtype == DType::f32 || type.dtype == DType::bf16);
}

std::vector<ValueType> infer(const Attrs& attrs, std::span<const ValueType> inputs) {
  if (inputs.size() != 2 && inputs.size() != 3)
    fail(ErrorKind::InvalidArgument,
         "[linear] wrong count of inputs; got {}; expected x, w and maybe b", inputs.size());
  const ValueType &x = inputs[0], &w = inputs[1];
  if (!is_matrix(x) || !is_matrix(w) || x.dtype != w.dtype || x.shape[1] != w.shape[1])
    fail(ErrorKind::InvalidArgument,
         "[linear] x and w do not match; got {} and {}; expected [N,I] and [O,I] of one dtype",
         to_string(x), to_string(w));
  if (inputs.size() == 3 && inputs[2] != ValueType{DType::f32, {w.shape[0]}})
    fail(ErrorKind::InvalidArgument, "[linear] bias does not match w; got {}; expected f32[{}]",
         to_string(inputs[2]), w.shape[0]);
  const DType out = attrs.integer_or("f32_out", 0) ? DType::f32 : x.dtype;
  return {{out, {x.shape[0], w.shape[0]}}};
}

void reference(const Attrs&, std::span<const RefTensor> inputs,
               std::span<const RefTensor> outputs) {
  const std::int64_t rows = outputs[0].shape[0], out = outputs[0].shape[1], in = inputs[0].shape[1];
  for (std::int64_t n = 0; n < rows; ++n)
    for (std::int64_t o = 0; o < out; ++o) {
      double sum = inputs.size() == 3 ? inputs[2].data[static_cast<size_t>(o)] : 0.0;
      for (std::int64_t i = 0; i < in; ++i)
        sum += inputs[0].data[static_cast<size_t>(n * in + i)] *
               inputs[1].data[static_cast<size_t>(o * in + i)];
      outputs[0].data[static_cast<size_t>(n * out + o)] = sum;
    }
}

Cost product_cost(const KernelQuery& query, std::int64_t inner) {
  Cost cost{2.0 * static_cast<double>(query.outputs[0].shape.numel()) * static_cast<double>(inner),
            0, static_cast<double>(query.outputs[0].bytes())};
  for (const ValueType& type : query.inputs) cost.bytes_read += static_cast<double>(type.bytes());
  if (query.attrs.integer_or("accumulate", 0)) cost.bytes_read += cost.bytes_written;
  return cost;
}

Cost cost(const KernelQuery& query) {
  return product_cost(query, query.inputs[0].shape[1]);
}

Product product_of(const KernelQuery& query, std::int64_t inner) {
  return {.m = query.outputs[0].shape[0],
          .k = inner,
          .n = query.outputs[0].shape[1],
          .operand = query.inputs[0].dtype};
}

std::vector<Product> products(const KernelQuery& query) {
  Product product = product_of(query, query.inputs[0].shape[1]);
  product.transpose_b = true;
  return {product};
}

std::vector<Product> products_grad_input(const KernelQuery& query) {
  return {product_of(query, query.inputs[0].shape[1])};
}

std::vector<Product> products_grad_weight(const KernelQuery& query) {
  Product product = product_of(query, query.inputs[0].shape[0]);
  product.transpose_a = true;
  product.accumulate = query.attrs.integer_or("accumulate", 0) != 0;
  return {product};
}

void gradient(GradContext& context) {
  const ValueId dy = context.cotangent(0);
  if (context.input_count() == 3 && context.needs(2))
    context.set_cotangent(2, context.add(linear_grad_bias_op(), {}, {dy}));
  if (context.needs(1))
    context.set_cotangent(1, context.add(linear_grad_weight_op(), {}, {dy, context.input(0)}));
  if (context.needs(0)) {
    ensure(context.input_type(0).dtype == DType::f32 || !context.attrs().integer_or("f32_out", 0),
           "[linear] f32_out with bf16 inputs is for inference: it has no gradient");
    context.set_cotangent(0, context.add(linear_grad_input_op(), {}, {dy, context.input(1)}));
  }
}

std::vector<Sample> samples() {
  using Kind = SampleInput::Kind;
  std::vector<Sample> list;
  struct Case {
    std::int64_t rows, in, out;
  };
  for (const Case& c : {Case{1, 1, 1}, Case{0, 4, 3}, Case{3, 5, 7}, Case{2, 70, 41},
                        Case{4, 64, 6}, Case{17, 33, 65}, Case{64, 96, 48}}) {
    const SampleInput x{Kind::activation, {c.rows, c.in}}, w{Kind::weight, {c.out, c.in}};
    const std::string name =
        std::to_string(c.rows) + "x" + std::to_string(c.in) + "x" + std::to_string(c.out);
    list.push_back({name, {}, {x, w}});
    list.push_back({name + " bias", {}, {x, w, {Kind::vector, {c.out}}}});
  }
  return list;
}

std::vector<BadSample> bad_samples() {
  return {
      {{}, {{DType::f32, {2, 3}}, {DType::f32, {4, 5}}}, "do not match"},
      {{}, {{DType::f32, {2, 3}}, {DType::bf16, {4, 3}}}, "do not match"},
      {{}, {{DType::f32, {2, 3}}}, "wrong count"},
      {{}, {{DType::f32, {2, 3}}, {DType::f32, {4, 3}}, {DType::f32, {3}}}, "bias does not match"}};
}

// dx[N,I] = dy[N,O] · w[O,I]
std::vector<ValueType> infer_grad_input(const Attrs&, std::span<const ValueType> inputs) {
  ensure(inputs.size() == 2 && inputs[0].shape[1] == inputs[1].shape[0],
         "[linear_grad_input] types");
  return {{inputs[1].dtype, {inputs[0].shape[0], inputs[1].shape[1]}}};
}

void reference_grad_input(const Attrs&, std::span<const RefTensor> inputs,
                          std::span<const RefTensor> outputs) {
  const std::int64_t rows = outputs[0].shape[0], in = outputs[0].shape[1], out = inputs[0].shape[1];
  for (std::int64_t n = 0; n < rows; ++n)
    for (std::int64_t i = 0; i < in; ++i) {
      double sum = 0;
      for (std::int64_t o = 0; o < out; ++o)
        sum += inputs[0].data[static_cast<size_t>(n * out + o)] *
               inputs[1].data[static_cast<size_t>(o * in + i)];
      outputs[0].data[static_cast<size_t>(n * in + i)] = sum;
    }
}

Cost cost_grad_input(const KernelQuery& query) {
  return product_cost(query, query.inputs[0].shape[1]);
}

// dw[O,I] (+)= dy[N,O]ᵀ · x[N,I]
std::vector<ValueType> infer_grad_weight(const Attrs&, std::span<const ValueType> inputs) {
  ensure(inputs.size() == 2 && inputs[0].shape[0] == inputs[1].shape[0],
         "[linear_grad_weight] types");
  return {{DType::f32, {inputs[0].shape[1], inputs[1].shape[1]}}};
}

void reference_grad_weight(const Attrs&, std::span<const RefTensor> inputs,
                           std::span<const RefTensor> outputs) {
  const std::int64_t rows = inputs[0].shape[0], out = outputs[0].shape[0], in = outputs[0].shape[1];
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t i = 0; i < in; ++i)
      for (std::int64_t n = 0; n < rows; ++n)
        outputs[0].data[static_cast<size_t>(o * in + i)] +=
            inputs[0].data[static_cast<size_t>(n * out + o)] *
            inputs[1].data[static_cast<size_t>(n * in + i)];
}

Cost cost_grad_weight(const KernelQuery& query) {
  return product_cost(query, query.inputs[0].shape[0]);
}

// db[O] (+)= sum over rows of dy[N,O]
std::vector<ValueType> infer_grad_bias(const Attrs&, std::span<const ValueType> inputs) {
  ensure(inputs.size() == 1, "[linear_grad_bias] types");
  return {{DType::f32, {inputs[0].shape[1]}}};
}

void reference_grad_bias(const Attrs&, std::span<const RefTensor> inputs,
                         std::span<const RefTensor> outputs) {
  const std::int64_t rows = inputs[0].shape[0], out = inputs[0].shape[1];
  for (std::int64_t n = 0; n < rows; ++n)
    for (std::int64_t o = 0; o < out; ++o)
      outputs[0].data[static_cast<size_t>(o)] += inputs[0].data[static_cast<size_t>(n * out + o)];
}

Cost cost_grad_bias(const KernelQuery& query) {
  return {static_cast<double>(query.inputs[0].shape.numel()),
          static_cast<double>(query.inputs[0].bytes()),
          static_cast<double>(query.outputs[0].bytes())};
}

}  // namespace

const OpDef& linear_op() {
  static const OpDef op = {.name = "linear",
                           .infer = infer,
                           .reference = reference,
                           .cost = cost,
                           .gradient = gradient,
                           .kernels = linear_kernels(),
                           .samples = samples,
                           .bad_samples = bad_samples,
                           .products = products};
  return op;
}

const OpDef& linear_grad_input_op() {
  static const OpDef op = {.name = "linear_grad_input",
                           .infer = infer_grad_input,
                           .reference = reference_grad_input,
                           .cost = cost_grad_input,
                           .kernels = linear_grad_input_kernels(),
                           .gradient_of = &linear_op(),
                           .products = products_grad_input};
  return op;
}

const OpDef& linear_grad_weight_op() {
  static const OpDef op = {.name = "linear_grad_weight",
                           .infer = infer_grad_weight,
                           .reference = reference_grad_weight,
                           .cost = cost_grad_weight,
                           .kernels = linear_grad_weight_kernels(),
                           .accumulating_outputs = 1,
                           .gradient_of = &linear_op(),
                           .products = products_grad_weight};
  return op;
}

const OpDef& linear_grad_bias_op() {
  static const OpDef op = {.name = "linear_grad_bias",
                           .infer = infer_grad_bias,
                           .reference = reference_grad_bias,
                           .cost = cost_grad_bias,
                           .kernels = linear_grad_bias_kernels(),
                           .accumulating_outputs = 1,
                           .gradient_of = &linear_op()};
  return op;
}

ValueId linear(Graph& graph, ValueId x, ValueId w, ValueId bias, bool f32_out) {
  Attrs attrs;
  if (f32_out) attrs.set("f32_out", std::int64_t{1});
  std::vector<ValueId> inputs = {x, w};
  if (bias != kNoValue) inputs.push_back(bias);
  return graph.add(linear_op(), attrs, inputs);
}

}  // namespace outsize
