#include "ops/cached_attention/cached_attention.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "ops/attention/attention_check.h"
#include "ops/cached_attention/cached_attention_cpu.h"

namespace outsize {
namespace {

std::vector<ValueType> infer(const Attrs& attrs, std::span<const ValueType> inputs) {
  const AttentionShape shape = attention_shape("cached_attention", attrs);
  if (inputs.size() != 4)
    fail(ErrorKind::InvalidArgument,
         "[cached_attention] wrong count of inputs; got {}; expected q, k, v, past", inputs.size());
  check_attention_inputs("cached_attention", shape, inputs[0], inputs[1], inputs[2]);
  if (inputs[3] != ValueType{DType::i32, {1}})
    fail(ErrorKind::InvalidArgument, "[cached_attention] wrong past; got {}; expected i32[1]",
         to_string(inputs[3]));
  const std::int64_t capacity = attrs.integer("capacity");
  if (capacity < inputs[0].shape[0])
    fail(ErrorKind::InvalidArgument,
         "[cached_attention] the tokens exceed the cache; got {} tokens, capacity {}",
         inputs[0].shape[0], capacity);
  if (attrs.integer_or("accumulate", 0) != 1)
    fail(ErrorKind::InvalidArgument,
         "[cached_attention] the caches keep what they hold; expected attribute accumulate = 1");
  const ValueType cache{inputs[1].dtype, {capacity, inputs[1].shape[1]}};
  return {inputs[0], cache, cache};
}

// As in attention, plain loops over the cache after the new rows are written.
void reference(const Attrs& attrs, std::span<const RefTensor> inputs,
               std::span<const RefTensor> outputs) {
  const std::int64_t heads = attrs.integer("heads"), kv_heads = attrs.integer("kv_heads");
  const std::int64_t width = attrs.integer("head_dim"), window = attrs.integer_or("window", 0);
  const double scale = attrs.real("scale");
  const std::int64_t tokens = inputs[0].shape[0], row = kv_heads * width;
  const auto past = static_cast<std::int64_t>(inputs[3].data[0]);
  if (past < 0 || past + tokens > outputs[1].shape[0]) return;  // kernels answer with a Status
  for (size_t c = 1; c <= 2; ++c)
    std::copy(inputs[c].data.begin(), inputs[c].data.end(), outputs[c].data.begin() + past * row);
  for (std::int64_t i = 0; i < tokens; ++i)
    for (std::int64_t h = 0; h < heads; ++h) {
      const std::int64_t last = past + i, head = h / (heads / kv_heads) * width;
      const std::int64_t first = window > 0 ? std::max<std::int64_t>(0, last - window + 1) : 0;
      const double* q = inputs[0].data.data() + (i * heads + h) * width;
      double* out = outputs[0].data.data() + (i * heads + h) * width;
      auto score = [&](std::int64_t j) {
        double sum = 0;
        for (std::int64_t d = 0; d < width; ++d)
          sum += q[d] * outputs[1].data[static_cast<size_t>(j * row + head + d)];
        return scale * sum;
      };
      double top = score(first), total = 0;
      for (std::int64_t j = first; j <= last; ++j) top = std::max(top, score(j));
      for (std::int64_t j = first; j <= last; ++j) total += std::exp(score(j) - top);
      std::fill(out, out + width, 0.0);
      for (std::int64_t j = first; j <= last; ++j) {
        const double weight = std::exp(score(j) - top) / total;
        for (std::int64_t d = 0; d < width; ++d)
          out[d] += weight * outputs[2].data[static_cast<size_t>(j * row + head + d)];
      }
    }
}

// How full the cache will be is not known from the types: counts it full, the planner's worst case.
Cost cost(const KernelQuery& query) {
  const AttentionShape shape = attention_shape("cached_attention", query.attrs);
  const std::int64_t tokens = query.inputs[0].shape[0], capacity = query.outputs[1].shape[0];
  Cost cost;
  cost.flops = 4.0 * static_cast<double>(shape.heads * shape.head_dim) *
               attention_pairs(tokens, capacity - tokens, shape.window);
  for (const ValueType& type : query.inputs) cost.bytes_read += static_cast<double>(type.bytes());
  const std::int64_t seen =
      shape.window > 0 ? std::min(capacity, shape.window + tokens - 1) : capacity;
  cost.bytes_read += 2.0 * static_cast<double>(seen * shape.kv_heads * shape.head_dim *
                                               size_of(query.inputs[0].dtype));
  cost.bytes_written = static_cast<double>(query.outputs[0].bytes()) +
                       2.0 * static_cast<double>(query.inputs[1].bytes());
  return cost;
}

struct Setting {
  const char* name;
  std::int64_t tokens, past, capacity;
  std::int64_t heads, kv_heads, head_dim, window;
};

Attrs attrs_of(AttentionOptions options, std::int64_t capacity) {
  Attrs attrs = to_attrs(options);
  attrs.set("capacity", capacity);
  attrs.set("accumulate", std::int64_t{1});
  return attrs;
}

std::vector<Sample> samples() {
  using Kind = SampleInput::Kind;
  std::vector<Sample> list;
  for (const Setting& s :
       {Setting{"first token", 1, 0, 1, 2, 2, 16, 0}, Setting{"one token", 1, 37, 64, 4, 2, 64, 0},
        Setting{"one token, many runs", 1, 600, 700, 7, 1, 16, 0},
        Setting{"one token, window", 1, 530, 600, 2, 1, 16, 20},
        Setting{"one token, wide", 1, 70, 80, 4, 1, 256, 0},
        Setting{"one token, head_dim 22", 1, 9, 12, 3, 3, 22, 0},
        Setting{"few tokens", 3, 17, 20, 6, 2, 80, 0}, Setting{"prompt", 70, 0, 100, 4, 2, 16, 0},
        Setting{"second prompt", 33, 100, 150, 2, 1, 64, 0},
        Setting{"prompt, window", 90, 50, 140, 2, 2, 16, 40}}) {
    const double scale = 1 / std::sqrt(static_cast<double>(s.head_dim));
    const SampleInput q{Kind::activation, {s.tokens, s.heads * s.head_dim}, -1, 1, {}};
    const SampleInput kv{Kind::activation, {s.tokens, s.kv_heads * s.head_dim}, -1, 1, {}};
    const SampleInput past{Kind::integers, {1}, 0, 0, {static_cast<double>(s.past)}};
    list.push_back({s.name,
                    attrs_of({s.heads, s.kv_heads, s.head_dim, scale, s.window}, s.capacity),
                    {q, kv, kv, past}});
  }
  return list;
}

std::vector<BadSample> bad_samples() {
  const AttentionOptions options{.heads = 2, .kv_heads = 1, .head_dim = 4};
  const ValueType q{DType::f32, {3, 8}}, k{DType::f32, {3, 4}}, past{DType::i32, {1}};
  return {{attrs_of(options, 8), {q, k, k}, "wrong count"},
          {attrs_of(options, 8), {q, q, k, past}, "do not match the heads"},
          {attrs_of(options, 8), {q, k, k, {DType::i32, {2}}}, "wrong past"},
          {attrs_of(options, 2), {q, k, k, past}, "exceed the cache"}};
}

}  // namespace

const OpDef& cached_attention_op() {
  static const OpDef op = {.name = "cached_attention",
                           .infer = infer,
                           .reference = reference,
                           .cost = cost,
                           .kernels = cached_attention_kernels(),
                           .accumulating_outputs = 0b110,
                           .samples = samples,
                           .bad_samples = bad_samples,
                           .tolerance_factor = 8.0};  // as attention
  return op;
}

CachedAttentionValues cached_attention(Graph& graph, ValueId q, ValueId k, ValueId v, ValueId past,
                                       const AttentionOptions& options, std::int64_t capacity) {
  AttentionOptions own = options;
  own.row_length = 0;
  const std::vector<ValueId> outputs =
      graph.add_node(cached_attention_op(), attrs_of(own, capacity), {q, k, v, past});
  return {outputs[0], outputs[1], outputs[2]};
}

}  // namespace outsize
