#include "ops/lm_loss/lm_loss.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "graph/differentiate.h"
#include "ops/lm_loss/lm_loss_chunk.h"
#include "ops/lm_loss/lm_loss_cpu.h"

namespace outsize {
namespace {

std::vector<ValueType> infer(const Attrs& attrs, std::span<const ValueType> inputs) {
  if (inputs.size() != 3)
    fail(ErrorKind::InvalidArgument,
         "[lm_loss] wrong count of inputs; got {}; expected x, w, targets", inputs.size());
  const ValueType &x = inputs[0], &w = inputs[1];
  const bool floats = x.dtype == DType::f32 || x.dtype == DType::bf16;
  if (!floats || x.dtype != w.dtype || x.shape.ndim() != 2 || w.shape.ndim() != 2 ||
      x.shape[1] != w.shape[1] || w.shape[0] == 0)
    fail(ErrorKind::InvalidArgument,
         "[lm_loss] x and w do not match; got {} and {}; expected [N,D] and [V,D] of one dtype",
         to_string(x), to_string(w));
  if (inputs[2] != ValueType{DType::i32, {x.shape[0]}})
    fail(ErrorKind::InvalidArgument, "[lm_loss] targets do not match x; got {}; expected i32[{}]",
         to_string(inputs[2]), x.shape[0]);
  if (attrs.integer_or("chunk_rows", 16) < 16)
    fail(ErrorKind::InvalidArgument, "[lm_loss] chunk_rows is too small; expected at least 16");
  return {{DType::f64, {1}}};
}

std::vector<ValueType> infer_grad(const Attrs& attrs, std::span<const ValueType> inputs) {
  ensure(inputs.size() == 4 && inputs[3] == ValueType{DType::f64, {1}}, "[lm_loss_grad] types");
  infer(attrs, inputs.first(3));
  return {inputs[0], {DType::f32, inputs[1].shape}, {DType::f64, {1}}};
}

// log(sum(exp(logits))) of one row, written to `logits`-sized recomputation on the fly: no scratch.
struct RowLogits {
  const RefTensor &x, &w;
  std::int64_t row;

  double logit(std::int64_t v) const {
    const std::int64_t width = x.shape[1];
    double sum = 0;
    for (std::int64_t d = 0; d < width; ++d)
      sum +=
          x.data[static_cast<size_t>(row * width + d)] * w.data[static_cast<size_t>(v * width + d)];
    return sum;
  }
  double log_sum_exp() const {
    double top = -INFINITY, sum = 0;
    for (std::int64_t v = 0; v < w.shape[0]; ++v) top = std::max(top, logit(v));
    for (std::int64_t v = 0; v < w.shape[0]; ++v) sum += std::exp(logit(v) - top);
    return top + std::log(sum);
  }
};

void reference(const Attrs&, std::span<const RefTensor> inputs,
               std::span<const RefTensor> outputs) {
  double loss = 0;
  for (std::int64_t n = 0; n < inputs[0].shape[0]; ++n) {
    const auto target = static_cast<std::int64_t>(inputs[2].data[static_cast<size_t>(n)]);
    if (target < 0) continue;
    const RowLogits row{inputs[0], inputs[1], n};
    loss += row.log_sum_exp() - row.logit(target);
  }
  outputs[0].data[0] = loss;
}

void reference_grad(const Attrs&, std::span<const RefTensor> inputs,
                    std::span<const RefTensor> outputs) {
  const RefTensor &x = inputs[0], &w = inputs[1];
  const std::int64_t width = x.shape[1];
  const double dloss = inputs[3].data[0];
  std::fill(outputs[0].data.begin(), outputs[0].data.end(), 0.0);
  outputs[2].data[0] = 0;
  for (std::int64_t n = 0; n < x.shape[0]; ++n) {
    const auto target = static_cast<std::int64_t>(inputs[2].data[static_cast<size_t>(n)]);
    if (target < 0) continue;
    const RowLogits row{x, w, n};
    const double normaliser = row.log_sum_exp();
    outputs[2].data[0] += normaliser - row.logit(target);
    for (std::int64_t v = 0; v < w.shape[0]; ++v) {
      const double dlogit =
          (std::exp(row.logit(v) - normaliser) - (v == target ? 1.0 : 0.0)) * dloss;
      for (std::int64_t d = 0; d < width; ++d) {
        const auto xi = static_cast<size_t>(n * width + d), wi = static_cast<size_t>(v * width + d);
        outputs[0].data[xi] += dlogit * w.data[wi];
        outputs[1].data[wi] += dlogit * x.data[xi];
      }
    }
  }
}

// Upper bounds: every row may have a target.
Cost products(const KernelQuery& query, double count) {
  const double n = static_cast<double>(query.inputs[0].shape[0]);
  const double weights = static_cast<double>(query.inputs[1].shape.numel());
  Cost cost{2.0 * count * n * weights, 0, 0};
  for (const ValueType& type : query.inputs) cost.bytes_read += static_cast<double>(type.bytes());
  for (const ValueType& type : query.outputs)
    cost.bytes_written += static_cast<double>(type.bytes());
  return cost;
}

// Chunk by chunk and block by block, as the kernel goes; a tail costs like its share of a whole
// one.
Product logits_product(const KernelQuery& query) {
  const ValueType &x = query.inputs[0], &w = query.inputs[1];
  const std::int64_t chunk =
      query.attrs.integer_or("chunk_rows", lm_loss_default_chunk_rows(w.shape[0], x.dtype));
  const std::int64_t rows = std::max<std::int64_t>(std::min(chunk, x.shape[0]), 1);
  const std::int64_t words = std::min(kLmLossBlock, w.shape[0]);
  return {.m = rows,
          .k = x.shape[1],
          .n = words,
          .operand = x.dtype,
          .transpose_b = true,
          .count = static_cast<double>(x.shape[0]) / static_cast<double>(rows) *
                   static_cast<double>(w.shape[0]) / static_cast<double>(words)};
}

std::vector<Product> products_forward(const KernelQuery& query) {
  return {logits_product(query)};
}

std::vector<Product> products_grad(const KernelQuery& query) {
  const Product logits = logits_product(query);
  Product dx = logits, dw = logits;
  dx.k = logits.n;
  dx.n = logits.k;
  dx.transpose_b = false;
  dx.accumulate = true;
  dw.m = logits.n;
  dw.k = logits.m;
  dw.n = logits.k;
  dw.transpose_a = true;
  dw.transpose_b = false;
  dw.accumulate = true;
  return {logits, dx, dw};
}

Cost cost(const KernelQuery& query) {
  return products(query, 1);
}

Cost cost_grad(const KernelQuery& query) {
  return products(query, 3);
}

// As many rows as have a target, which fill at least the smallest chunk.
OpCall with_targets(OpCall call, double share) {
  Shape& shape = call.inputs[0].shape;
  const auto count = static_cast<std::int64_t>(std::ceil(static_cast<double>(shape[0]) * share));
  shape = {std::max(count, std::min(shape[0], kLmLossSmallestChunk)), shape[1]};
  return call;
}

void gradient(GradContext& context) {
  const auto outputs = context.add_node(
      lm_loss_grad_op(), context.attrs(),
      {context.input(0), context.input(1), context.input(2), context.cotangent(0)});
  context.set_cotangent(0, outputs[0]);
  context.set_cotangent(1, outputs[1]);
  context.set_output_again(0, outputs[2]);
}

std::vector<Sample> samples() {
  using Kind = SampleInput::Kind;
  const Attrs small{{"chunk_rows", std::int64_t{16}}};
  auto sample = [](std::string name, Attrs attrs, std::int64_t rows, std::int64_t width,
                   std::int64_t vocabulary, std::vector<double> targets) {
    const Shape count{rows};
    return Sample{
        std::move(name),
        std::move(attrs),
        {{Kind::activation, {rows, width}},
         {Kind::weight, {vocabulary, width}},
         {Kind::integers, count, -1.0, static_cast<double>(vocabulary - 1), std::move(targets)}}};
  };
  return {sample("one row", {}, 1, 4, 5, {3}),
          sample("no target at all", {}, 3, 4, 5, {-1, -1, -1}),
          sample("some rows", {}, 7, 9, 33, {-1, 0, 32, -1, 5, 5, 17}),
          sample("several chunks", small, 53, 16, 37, {}),
          sample("a chunk that is not full", {}, 30, 8, 40, {}),
          sample("a large chunk that is not full", {}, 45, 8, 40, {}),
          sample("several blocks of words", small, 20, 8, 2 * kLmLossBlock + 50, {}),
          sample("one word", {}, 4, 8, 1, {0, 0, -1, 0})};
}

std::vector<BadSample> bad_samples() {
  return {
      {{}, {{DType::f32, {2, 3}}, {DType::f32, {4, 5}}, {DType::i32, {2}}}, "do not match"},
      {{}, {{DType::f32, {2, 3}}, {DType::f32, {4, 3}}, {DType::i32, {3}}}, "targets do not match"},
      {{}, {{DType::f32, {2, 3}}, {DType::f32, {4, 3}}}, "wrong count"}};
}

}  // namespace

const OpDef& lm_loss_op() {
  static const OpDef op = {.name = "lm_loss",
                           .infer = infer,
                           .reference = reference,
                           .cost = cost,
                           .gradient = gradient,
                           .kernels = lm_loss_kernels(),
                           .samples = samples,
                           .bad_samples = bad_samples,
                           .products = products_forward,
                           .time_depends_on = "targets",
                           .with_targets = with_targets};
  return op;
}

const OpDef& lm_loss_grad_op() {
  static const OpDef op = {.name = "lm_loss_grad",
                           .infer = infer_grad,
                           .reference = reference_grad,
                           .cost = cost_grad,
                           .kernels = lm_loss_grad_kernels(),
                           .accumulating_outputs = 2,
                           .gradient_of = &lm_loss_op(),
                           .products = products_grad,
                           .time_depends_on = "targets",
                           .with_targets = with_targets};
  return op;
}

ValueId lm_loss(Graph& graph, ValueId x, ValueId w, ValueId targets) {
  return graph.add(lm_loss_op(), {}, {x, w, targets});
}

std::int64_t lm_loss_default_chunk_rows(std::int64_t vocabulary, DType dtype) {
  constexpr std::int64_t kKeptBytes = 256ll << 20;
  std::int64_t rows = 2048;
  while (rows > 64 && rows * vocabulary * size_of(dtype) > kKeptBytes) rows /= 2;
  return rows;
}

}  // namespace outsize
