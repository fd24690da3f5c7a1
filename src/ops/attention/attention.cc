#include "ops/attention/attention.h"

#include <cmath>

#include "core/error.h"
#include "graph/differentiate.h"
#include "ops/attention/attention_check.h"
#include "ops/attention/attention_cpu.h"
#include "ops/attention/attention_reference.h"

namespace outsize {
namespace {

std::int64_t row_length(const Attrs& attrs, std::int64_t tokens) {
  const std::int64_t length = attrs.integer_or("row_length", 0);
  if (length < 0 || (length > 0 && tokens % length != 0))
    fail(ErrorKind::InvalidArgument, "[attention] rows do not fill; got {} tokens, row_length {}",
         tokens, length);
  return length > 0 ? length : tokens;
}

std::vector<ValueType> infer(const Attrs& attrs, std::span<const ValueType> inputs) {
  const AttentionShape shape = attention_shape("attention", attrs);
  if (inputs.size() != 4)
    fail(ErrorKind::InvalidArgument,
         "[attention] wrong count of inputs; got {}; expected q, k, v, document_start",
         inputs.size());
  check_attention_inputs("attention", shape, inputs[0], inputs[1], inputs[2]);
  const std::int64_t tokens = inputs[0].shape[0];
  if (inputs[3] != ValueType{DType::i32, {tokens}})
    fail(ErrorKind::InvalidArgument,
         "[attention] document_start does not match q; got {}; expected i32[{}]",
         to_string(inputs[3]), tokens);
  row_length(attrs, tokens);
  return {inputs[0], {DType::f32, {tokens, shape.heads}}};
}

Cost cost_of(const KernelQuery& query, const ValueType& q, double flops_per_pair) {
  const AttentionShape shape = attention_shape("attention", query.attrs);
  const std::int64_t tokens = q.shape[0], length = row_length(query.attrs, tokens);
  Cost cost;
  if (length > 0) {
    const std::int64_t rows = tokens / length;
    cost.flops = flops_per_pair * static_cast<double>(shape.heads * shape.head_dim) *
                 static_cast<double>(rows) * attention_pairs(length, 0, shape.window);
  }
  for (const ValueType& type : query.inputs) cost.bytes_read += static_cast<double>(type.bytes());
  for (const ValueType& type : query.outputs)
    cost.bytes_written += static_cast<double>(type.bytes());
  return cost;
}

Cost cost(const KernelQuery& query) {
  return cost_of(query, query.inputs[0], 4.0);  // q·k and weight·v, a multiply-add each
}

void gradient(GradContext& context) {
  const ValueId dout = context.cotangent(0), dlse = context.cotangent(1);
  ensure(dout != kNoValue, "[attention] a gradient through lse alone is not built");
  std::vector<ValueId> inputs = {dout,
                                 context.input(0),
                                 context.input(1),
                                 context.input(2),
                                 context.output(0),
                                 context.output(1),
                                 context.input(3)};
  if (dlse != kNoValue) inputs.push_back(dlse);
  const std::vector<ValueId> grads =
      context.add_node(attention_grad_op(), context.attrs(), std::move(inputs));
  for (int i = 0; i < 3; ++i)
    if (context.needs(i)) context.set_cotangent(i, grads[static_cast<size_t>(i)]);
}

// Scores are sums of K products in order, and softmax turns their absolute error into a relative
// one.
constexpr double kToleranceFactor = 8.0;

// document_start of documents of these lengths, one after another.
std::vector<double> starts(std::initializer_list<std::int64_t> lengths) {
  std::vector<double> start;
  for (std::int64_t length : lengths)
    start.insert(start.end(), static_cast<size_t>(length), static_cast<double>(start.size()));
  return start;
}

Sample sample(const char* name, std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim,
              std::vector<double> start, std::int64_t window = 0, std::int64_t length = 0) {
  using Kind = SampleInput::Kind;
  const auto tokens = static_cast<std::int64_t>(start.size());
  const SampleInput q{Kind::activation, {tokens, heads * head_dim}, -1, 1, {}};
  const SampleInput kv{Kind::activation, {tokens, kv_heads * head_dim}, -1, 1, {}};
  const SampleInput documents{Kind::integers, {tokens}, 0, 0, std::move(start)};
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  return {
      name, to_attrs({heads, kv_heads, head_dim, scale, window, length}), {q, kv, kv, documents}};
}

std::vector<Sample> samples() {
  return {
      sample("nothing", 2, 1, 16, {}), sample("one token", 2, 2, 16, starts({1})),
      sample("smallest head", 1, 1, 2, starts({5})), sample("odd length", 3, 3, 64, starts({37})),
      sample("shared heads", 6, 2, 16, starts({29})),
      sample("one kv head, wide", 4, 1, 256, starts({21})),
      sample("head_dim 80", 2, 1, 80, starts({19})), sample("head_dim 22", 2, 2, 22, starts({18})),
      sample("across blocks", 2, 1, 16, starts({197})),
      // On tile registers two whole blocks of queries add to a block of keys at one go.
      sample("whole blocks", 2, 1, 16, starts({325})),
      sample("whole blocks, window", 2, 2, 16, starts({300}), 170),
      sample("whole blocks, documents", 1, 1, 32, starts({20, 290})),
      sample("a span of queries and more", 1, 1, 16, starts({2113})),
      sample("documents", 2, 2, 16, starts({3, 70, 1, 64, 9})),
      sample("padding", 2, 1, 32, starts({40, 1, 1, 1, 1, 1, 1, 1, 1, 1})),
      sample("short window", 2, 1, 16, starts({150}), 7),
      sample("window and documents", 2, 1, 16, starts({90, 60}), 66),
      sample("window beyond the text", 2, 2, 16, starts({33}), 1000),
      sample("rows", 4, 2, 16, starts({30, 10, 25, 15, 40, 20, 20, 40}), 0, 40)};
}

std::vector<BadSample> bad_samples() {
  const Attrs attrs = to_attrs({.heads = 2, .kv_heads = 1, .head_dim = 4});
  const ValueType q{DType::f32, {3, 8}}, k{DType::f32, {3, 4}}, start{DType::i32, {3}};
  const ValueType k16{DType::bf16, {3, 4}};
  return {
      {attrs, {q, k, k}, "wrong count"},
      {attrs, {q, q, k, start}, "do not match the heads"},
      {attrs, {q, k, k16, start}, "do not match the heads"},
      {attrs, {q, k, k, k}, "document_start does not match"},
      {attrs, {q, k, k, {DType::i32, {4}}}, "document_start does not match"},
      {to_attrs({.heads = 3, .kv_heads = 2, .head_dim = 4}), {q, k, k, start}, "evenly"},
      {to_attrs({.heads = 2, .kv_heads = 1, .head_dim = 3}), {q, k, k, start}, "head_dim"},
      {to_attrs({.heads = 2, .kv_heads = 1, .head_dim = 4, .scale = 0}), {q, k, k, start}, "scale"},
      {to_attrs({.heads = 2, .kv_heads = 1, .head_dim = 4, .window = -1}),
       {q, k, k, start},
       "window"},
      {to_attrs({.heads = 2, .kv_heads = 1, .head_dim = 4, .row_length = 2}),
       {q, k, k, start},
       "rows do not fill"}};
}

std::vector<ValueType> infer_grad(const Attrs& attrs, std::span<const ValueType> inputs) {
  ensure(inputs.size() == 7 || inputs.size() == 8, "[attention_grad] wrong count of inputs");
  const std::vector<ValueType> forward =
      infer(attrs, std::vector{inputs[1], inputs[2], inputs[3], inputs[6]});
  ensure(inputs[0] == forward[0] && inputs[4] == forward[0] && inputs[5] == forward[1] &&
             inputs.back() == (inputs.size() == 8 ? forward[1] : inputs[6]),
         "[attention_grad] inputs do not match attention's types");
  return {inputs[1], inputs[2], inputs[3]};
}

Cost cost_grad(const KernelQuery& query) {
  return cost_of(query, query.inputs[1], 10.0);  // the scores again, and four products more
}

}  // namespace

Attrs to_attrs(const AttentionOptions& options) {
  return {{"heads", options.heads},       {"kv_heads", options.kv_heads},
          {"head_dim", options.head_dim}, {"scale", options.scale},
          {"window", options.window},     {"row_length", options.row_length}};
}

const OpDef& attention_op() {
  static const OpDef op = {.name = "attention",
                           .infer = infer,
                           .reference = attention_reference,
                           .cost = cost,
                           .gradient = gradient,
                           .kernels = attention_kernels(),
                           .samples = samples,
                           .bad_samples = bad_samples,
                           .tolerance_factor = kToleranceFactor,
                           .time_depends_on = "document starts"};
  return op;
}

const OpDef& attention_grad_op() {
  static const OpDef op = {.name = "attention_grad",
                           .infer = infer_grad,
                           .reference = attention_grad_reference,
                           .cost = cost_grad,
                           .kernels = attention_grad_kernels(),
                           .gradient_of = &attention_op(),
                           .tolerance_factor = kToleranceFactor,
                           .time_depends_on = "document starts"};
  return op;
}

AttentionValues attention(Graph& graph, ValueId q, ValueId k, ValueId v, ValueId document_start,
                          const AttentionOptions& options) {
  const std::vector<ValueId> outputs =
      graph.add_node(attention_op(), to_attrs(options), {q, k, v, document_start});
  return {outputs[0], outputs[1]};
}

}  // namespace outsize
