#include "nn/decoder.h"

#include <fmt/format.h>

#include <map>
#include <unordered_map>

#include "ops/embedding/embedding.h"
#include "ops/linear/linear.h"
#include "ops/lm_loss/lm_loss.h"
#include "ops/rope_table/rope_table.h"

namespace outsize {
namespace {

class Assembler {
 public:
  Assembler(const DecoderParts& parts, const BuildOptions& options)
      : parts_(parts), options_(options) {}

  Program run() {
    SegmentBuilder embed(options_);
    embed.graph().add_output("x", parts_.embed(embed));
    add_call("embed", add_segment("embed", embed), "", -1);
    std::map<int, int> segment_of_kind;
    for (size_t layer = 0; layer < parts_.layer_kinds.size(); ++layer) {
      const int kind = parts_.layer_kinds[layer];
      if (segment_of_kind.count(kind) == 0) segment_of_kind[kind] = add_block(kind);
      add_call(fmt::format("block.{}", layer), segment_of_kind[kind],
               fmt::format("{}{}.", parts_.layer_prefix, layer), static_cast<int>(layer));
    }
    add_head();
    verify(program_);
    return std::move(program_);
  }

 private:
  bool generating() const { return options_.mode == BuildOptions::Mode::generation; }

  int add_segment(std::string name, SegmentBuilder& builder) {
    program_.segments.push_back({std::move(name), std::move(builder.graph())});
    return static_cast<int>(program_.segments.size()) - 1;
  }

  int add_block(int kind) {
    SegmentBuilder builder(options_);
    const ValueId x = builder.x(parts_.width);
    builder.graph().add_output("x", parts_.block(builder, kind, x));
    return add_segment(fmt::format("block kind {}", kind), builder);
  }

  // Tables are made for the first call that reads them: not every kind of layer may be there.
  void add_rope_tables(int segment) {
    const Graph graph = program_.segments[static_cast<size_t>(segment)].graph;  // more will join
    for (size_t i = 0; i < parts_.rope_frequencies.size(); ++i) {
      const std::string name = fmt::format("rope.{}", i);
      if (graph.find_input(name) == kNoValue || value_ids_.count(name) > 0) continue;
      SegmentBuilder builder(options_);
      const ValueId table = rope_table(builder.graph(), builder.positions(),
                                       parts_.rope_frequencies[i], parts_.rope_scale);
      builder.graph().add_output(name, table);
      add_call(fmt::format("positions.{}", i), add_segment("positions", builder), "", -1);
    }
  }

  void add_head() {
    SegmentBuilder builder(options_);
    Graph& graph = builder.graph();
    ValueId x = builder.x(parts_.width);
    if (generating()) x = embedding(graph, x, builder.rows());  // a table's rows: gathers them
    x = parts_.final_norm(builder, x);
    const ValueId w = builder.matrix(parts_.head_weight, parts_.vocabulary, parts_.width);
    if (generating()) {
      graph.add_output("logits", linear(graph, x, w, kNoValue, /*f32_out=*/true));
    } else {
      graph.add_output("loss", lm_loss(graph, x, w, builder.targets()));
    }
    add_call("head", add_segment("head", builder), "", -1);
  }

  void add_call(std::string name, int segment, const std::string& prefix, int layer) {
    add_rope_tables(segment);
    const Graph& graph = program_.segments[static_cast<size_t>(segment)].graph;
    Call call{std::move(name), segment, {}, {}, {}};
    for (ValueId id : graph.inputs()) call.inputs.push_back(input_value(graph.value(id)));
    for (ValueId id : graph.parameters())
      call.parameters.push_back(parameter(prefix + graph.value(id).name, graph.type(id)));
    for (const Graph::Output& output : graph.outputs())
      call.outputs.push_back(output_value(output.name, graph.type(output.value), layer));
    program_.calls.push_back(std::move(call));
  }

  int add_value(std::string name, const ValueType& type, ProgramValue::Role role) {
    const int id = static_cast<int>(program_.values.size());
    value_ids_[name] = id;
    program_.values.push_back({std::move(name), type, role});
    return id;
  }

  // "x" is the residual stream so far; other names are values made earlier, or the batch.
  int input_value(const Value& input) {
    if (input.name == "x") return x_;
    const auto at = value_ids_.find(input.name);
    return at != value_ids_.end() ? at->second
                                  : add_value(input.name, input.type, ProgramValue::Role::batch);
  }

  int output_value(const std::string& name, const ValueType& type, int layer) {
    using Role = ProgramValue::Role;
    if (name == "x") return x_ = add_value(fmt::format("x.{}", layer + 1), type, Role::boundary);
    if (name == "loss" || name == "logits") return add_value(name, type, Role::result);
    if (name.starts_with("cache_"))
      return add_value(fmt::format("{}.{}", name, layer), type, Role::state);
    return add_value(name, type, Role::boundary);
  }

  int parameter(const std::string& name, const ValueType& type) {
    const auto [at, fresh] =
        parameter_ids_.try_emplace(name, static_cast<int>(program_.parameters.size()));
    if (!fresh) return at->second;
    program_.parameters.push_back({name, type, /*decay=*/type.shape.ndim() == 2});
    return at->second;
  }

  const DecoderParts& parts_;
  const BuildOptions& options_;
  Program program_;
  std::unordered_map<std::string, int> value_ids_, parameter_ids_;
  int x_ = -1;
};

}  // namespace

Program assemble_decoder(const DecoderParts& parts, const BuildOptions& options) {
  return Assembler(parts, options).run();
}

}  // namespace outsize
