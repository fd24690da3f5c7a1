// What an op or update counts as work, and under which name a machine file keeps its rates.
#include <fmt/format.h>

#include "costs/cost_model.h"
#include "ops/embedding/embedding.h"

namespace outsize {
namespace {

constexpr double kFlopsPerByte = 4;  // fewer wait for memory on any processor

bool is_vector(const ValueType& type) {
  return type.dtype == DType::f32 && type.shape.ndim() == 1;
}

// What a kernel does per row hangs on how long rows are: of a head, of a norm (as long as its
// weight), else the last dimension.
std::int64_t width_of(const OpCall& call) {
  if (const std::int64_t head = call.attrs.integer_or("head_dim", 0)) return head;
  if (call.op->products == nullptr)
    for (const ValueType& type : call.inputs)
      if (is_vector(type)) return type.shape[0];
  const Shape& shape = call.inputs[0].shape;
  return shape.ndim() == 0 ? 1 : shape[shape.ndim() - 1];
}

// Tables that caches hold, as of positions, are another matter than those of vocabularies.
bool has_small_table(const OpCall& call) {
  constexpr std::int64_t kSmallTableBytes = std::int64_t{8} << 20;
  if (call.op == &embedding_op()) return call.inputs[0].bytes() < kSmallTableBytes;
  return call.op == &embedding_grad_op() && call.outputs[0].bytes() < kSmallTableBytes;
}

std::string variant_of(const OpCall& call) {
  const ValueType& type = call.inputs[0].dtype == DType::i32 ? call.outputs[0] : call.inputs[0];
  std::string text = name_of(type.dtype);
  const std::int64_t heads = call.attrs.integer_or("heads", 0);
  if (heads != call.attrs.integer_or("kv_heads", heads)) text += kGrouped;
  if (call.attrs.integer_or("inverse", 0) != 0) text += kInverse;
  if (has_small_table(call)) text += kSmall;
  if (call.attrs.has("kind")) text += fmt::format(" kind={}", call.attrs.integer("kind"));
  return text;
}

}  // namespace

OpWork work_of(const OpCall& call) {
  const Cost cost = call.op->cost(call.query());
  OpWork work{call.op->name, variant_of(call), width_of(call), cost.flops,
              cost.bytes_read + cost.bytes_written};
  if (call.op->products != nullptr) {
    const Product first = call.op->products(call.query()).at(0);
    work.work = first.count * static_cast<double>(first.m) * static_cast<double>(first.n);
    return work;
  }
  work.moves = work.work < kFlopsPerByte * work.bytes;
  if (call.attrs.integer_or("accumulate", 0) == 0)
    for (size_t i = 0; i < call.outputs.size(); ++i)
      if ((call.op->accumulating_outputs >> i & 1u) != 0)
        work.fill_bytes += static_cast<double>(call.outputs[i].bytes());
  return work;
}

OpWork work_of_update(const UpdateRule& rule, const ParameterSpec& spec) {
  const UpdateCost cost = rule.cost(spec);
  const double bytes = static_cast<double>(cost.bytes_read + cost.bytes_written);
  // State of another dtype is another kernel.
  std::string variant = name_of(spec.dtype);
  for (const StateBuffer& state : rule.state(spec))
    if (std::string(state.name) != kMasterLow) variant += fmt::format(" {}", name_of(state.dtype));
  return {fmt::format("update {}", rule.name()), variant, 1, bytes, bytes};
}

OpWork work_of_norm(double bytes) {
  return {"gradient_norm", "f32", 1, bytes, bytes};
}

}  // namespace outsize
