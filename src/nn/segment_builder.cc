#include "nn/segment_builder.h"

#include <fmt/format.h>

#include "ops/add/add.h"
#include "ops/cached_attention/cached_attention.h"
#include "ops/embedding/embedding.h"
#include "ops/gated_activation/gated_activation.h"
#include "ops/layer_norm/layer_norm.h"
#include "ops/linear/linear.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rope/rope.h"

namespace outsize {

ValueId SegmentBuilder::matrix(const std::string& name, std::int64_t out, std::int64_t in) {
  return graph_.add_parameter(name, {options_.dtype, {out, in}});
}

ValueId SegmentBuilder::vector(const std::string& name, std::int64_t size) {
  return graph_.add_parameter(name, {DType::f32, {size}});
}

ValueId SegmentBuilder::input(const std::string& name, DType dtype, Shape shape) {
  const ValueId known = graph_.find_input(name);
  return known != kNoValue ? known : graph_.add_input(name, {dtype, shape});
}

ValueId SegmentBuilder::x(std::int64_t width) {
  return input("x", options_.dtype, {options_.tokens, width});
}

ValueId SegmentBuilder::tokens() {
  return input("tokens", DType::i32, {options_.tokens});
}

ValueId SegmentBuilder::positions() {
  return input("positions", DType::i32, {options_.tokens});
}

ValueId SegmentBuilder::document_start() {
  return input("document_start", DType::i32, {options_.tokens});
}

ValueId SegmentBuilder::targets() {
  return input("targets", DType::i32, {options_.tokens});
}

ValueId SegmentBuilder::past() {
  return input("past", DType::i32, {1});
}

ValueId SegmentBuilder::rows() {
  return input("rows", DType::i32, {options_.logit_rows});
}

ValueId SegmentBuilder::rope_table(int table, std::int64_t head_dim) {
  return input(fmt::format("rope.{}", table), DType::f32, {options_.tokens, head_dim});
}

ValueId SegmentBuilder::embed_tokens(const std::string& name, std::int64_t vocabulary,
                                     std::int64_t width, double scale) {
  const ValueId table = options_.rows_given
                            ? input("token_rows", options_.dtype, {options_.tokens, width})
                            : matrix(name, vocabulary, width);
  return embedding(graph_, table, tokens(), scale);
}

ValueId SegmentBuilder::linear(const std::string& name, ValueId x, std::int64_t out, bool bias) {
  const ValueId w = matrix(name + ".weight", out, graph_.type(x).shape[1]);
  const ValueId b = bias ? vector(name + ".bias", out) : kNoValue;
  return outsize::linear(graph_, x, w, b);
}

ValueId SegmentBuilder::rms_norm(const std::string& name, ValueId x, double eps, bool unit_offset,
                                 std::int64_t group) {
  const std::int64_t width = group > 0 ? group : graph_.type(x).shape[-1];
  const ValueId w = vector(name + ".weight", width);
  return outsize::rms_norm(graph_, x, w, eps, unit_offset ? 1.0 : 0.0);
}

ValueId SegmentBuilder::layer_norm(const std::string& name, ValueId x, double eps) {
  const std::int64_t width = graph_.type(x).shape[-1];
  const ValueId w = vector(name + ".weight", width);
  const ValueId b = vector(name + ".bias", width);
  return outsize::layer_norm(graph_, x, w, b, eps);
}

ValueId SegmentBuilder::rope(ValueId x, int table, std::int64_t head_dim) {
  return outsize::rope(graph_, x, rope_table(table, head_dim), head_dim);
}

ValueId SegmentBuilder::attend(ValueId q, ValueId k, ValueId v, AttentionOptions options) {
  if (options_.mode != BuildOptions::Mode::generation) {
    options.row_length = options_.row_length;
    return attention(graph_, q, k, v, document_start(), options).out;
  }
  const CachedAttentionValues result =
      cached_attention(graph_, q, k, v, past(), options, options_.cache_capacity);
  graph_.add_output("cache_k", result.cache_k);
  graph_.add_output("cache_v", result.cache_v);
  return result.out;
}

ValueId SegmentBuilder::gated_mlp(const std::string& gate, const std::string& up,
                                  const std::string& down, ValueId x, std::int64_t width,
                                  ActivationKind kind, bool bias) {
  const ValueId g = linear(gate, x, width, bias);
  const ValueId u = linear(up, x, width, bias);
  return linear(down, gated_activation(graph_, g, u, kind), graph_.type(x).shape[1], bias);
}

}  // namespace outsize
