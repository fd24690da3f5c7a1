#include "exec/compiled_program.h"

#include <algorithm>

#include "core/error.h"
#include "ops/add/add.h"

namespace outsize {
namespace {

template <class List>
int index_of(const List& list, ValueId id) {
  return static_cast<int>(std::find(list.begin(), list.end(), id) - list.begin());
}

std::set<ValueId> external_values(const Backward& backward) {
  std::set<ValueId> external;
  for (const Graph::Output& output : backward.graph.outputs()) external.insert(output.value);
  return external;
}

}  // namespace

CompiledProgram::CompiledProgram(const Program& program, const CompileOptions& options)
    : program_(program), kernels_(options.kernels) {
  verify(program);
  find_wanted_values();
  compile_variant(Recompute::nothing, options);
  if (!options.training || !options.recompute) return;
  compile_variant(Recompute::cheap, options);
  compile_variant(Recompute::everything, options);
}

std::vector<std::vector<SegmentProfile>> CompiledProgram::recomputing_profiles() const {
  std::vector<std::vector<SegmentProfile>> list;
  for (size_t level = 1; level < variants_.size(); ++level)
    if (!variants_[level].profiles.empty()) list.push_back(variants_[level].profiles);
  return list;
}

void CompiledProgram::compile_variant(Recompute recompute, const CompileOptions& options) {
  Variant& variant = this->variant(recompute);
  variant.segments.resize(program_.segments.size());
  variant.profiles.resize(program_.segments.size());
  for (size_t s = 0; s < variant.segments.size(); ++s) {
    Compiled& compiled = variant.segments[s];
    if (options.training) compile_backward(static_cast<int>(s), recompute);
    const Graph& graph = program_.segments[s].graph;
    std::set<ValueId> external(compiled.saved_results.begin(), compiled.saved_results.end());
    for (const Graph::Output& output : graph.outputs()) external.insert(output.value);
    compiled.forward = compile(graph, external, kernels_);
    fill_profile(static_cast<int>(s), recompute, options.price);
  }
}

// A value carries a gradient when the call that makes it has parameters or reads one that does.
void CompiledProgram::find_wanted_values() {
  wanted_.assign(program_.values.size(), false);
  for (const Call& call : program_.calls) {
    const bool any = !call.parameters.empty() ||
                     std::any_of(call.inputs.begin(), call.inputs.end(),
                                 [&](int v) { return wanted_[static_cast<size_t>(v)]; });
    for (int v : call.outputs)
      wanted_[static_cast<size_t>(v)] =
          any && is_float(program_.values[static_cast<size_t>(v)].type.dtype);
  }
}

void CompiledProgram::compile_backward(int segment, Recompute recompute) {
  Variant& variant = this->variant(recompute);
  Compiled& compiled = variant.segments[static_cast<size_t>(segment)];
  const Graph& graph = program_.segments[static_cast<size_t>(segment)].graph;
  std::set<ValueId> wanted;
  for (const Call& call : program_.calls) {
    if (call.segment != segment) continue;
    for (size_t i = 0; i < call.inputs.size(); ++i)
      if (wanted_[static_cast<size_t>(call.inputs[i])]) wanted.insert(graph.inputs()[i]);
  }
  auto differentiate_with = [&](Recompute again) {
    DifferentiateOptions how;
    how.sum = &add_op();
    how.wants_input_cotangent = [&](ValueId id) { return wanted.count(id) > 0; };
    if (again == Recompute::cheap)
      how.may_save = [&](ValueId id) {
        return !graph.node(graph.value(id).producer).op->memory_bound;
      };
    if (again == Recompute::everything) how.may_save = [](ValueId) { return false; };
    return differentiate(graph, how);
  };
  Backward backward = differentiate_with(recompute);
  if (backward.parameter_gradients.empty() && backward.input_cotangents.empty()) return;
  // Where backward forms every output anew, forward never runs, so nothing can be saved from it.
  const bool skip = backward.outputs_again.size() == graph.outputs().size();
  if (skip) backward = differentiate_with(Recompute::everything);
  variant.profiles[static_cast<size_t>(segment)].skip_forward = skip;
  for (const auto& saved : backward.saved) {
    if (graph.value(saved.forward).kind != Value::Kind::result) continue;
    for (const Graph::Output& output : graph.outputs())
      ensure(output.value != saved.forward,
             "[compile] output '{}' of segment {} is saved for its own backward", output.name,
             segment);
    compiled.saved_results.push_back(saved.forward);
  }
  compiled.backward = std::move(backward);
}

void CompiledProgram::fill_profile(int segment, Recompute recompute, const OpPrice& price) {
  const auto s = static_cast<size_t>(segment);
  const Graph& graph = program_.segments[s].graph;
  const Compiled& compiled = this->compiled(segment, recompute);
  SegmentProfile& profile = variant(recompute).profiles[s];
  profile.forward_scratch_bytes = compiled.forward.scratch_bytes;
  profile.forward_cost = compiled.forward.cost;
  if (price) profile.forward_seconds = compiled.forward.seconds(price);
  if (!compiled.backward) return;
  const Backward& backward = *compiled.backward;
  for (ValueId id : compiled.saved_results) profile.saved.push_back(graph.type(id));
  for (const auto& saved : backward.saved)
    if (graph.value(saved.forward).kind == Value::Kind::input)
      profile.saved_inputs.push_back(index_of(graph.inputs(), saved.forward));
  for (const auto& seed : backward.output_cotangents)
    profile.output_cotangents.push_back(seed.output);
  for (const auto& cotangent : backward.input_cotangents)
    profile.input_cotangents.push_back(index_of(graph.inputs(), cotangent.forward));
  for (const auto& gradient : backward.parameter_gradients)
    profile.parameter_gradients.push_back(index_of(graph.parameters(), gradient.forward));
  for (const auto& again : backward.outputs_again) profile.outputs_again.push_back(again.output);
  for (ValueId id : backward.graph.parameters())
    for (size_t i = 0; i < graph.parameters().size(); ++i)
      if (graph.value(graph.parameters()[i]).name == backward.graph.value(id).name)
        profile.saved_parameters.push_back(static_cast<int>(i));
  // Scratch differs a little between variants; the plan books the largest.
  const size_t count = backward.parameter_gradients.size();
  for (char flag : {0, 1}) {
    const CompiledGraph& with_flags =
        this->backward(segment, recompute, std::vector<char>(count, flag));
    profile.backward_scratch_bytes =
        std::max(profile.backward_scratch_bytes, with_flags.scratch_bytes);
    profile.backward_cost = with_flags.cost;
    if (price)
      (flag ? profile.adding_backward_seconds : profile.backward_seconds) =
          with_flags.seconds(price);
  }
}

const CompiledGraph& CompiledProgram::forward(int segment, Recompute recompute) const {
  return compiled(segment, recompute).forward;
}

const Backward& CompiledProgram::backward_of(int segment, Recompute recompute) const {
  return *compiled(segment, recompute).backward;
}

const std::vector<ValueId>& CompiledProgram::saved_results(int segment, Recompute recompute) const {
  return compiled(segment, recompute).saved_results;
}

const CompiledGraph& CompiledProgram::backward(int segment, Recompute recompute,
                                               const std::vector<char>& accumulate) {
  Compiled& compiled = variant(recompute).segments.at(static_cast<size_t>(segment));
  auto [at, fresh] = compiled.by_flags.try_emplace(accumulate);
  if (!fresh) return at->second;
  const Backward& backward = *compiled.backward;
  Graph graph = backward.graph;
  std::map<NodeId, char> flag_of;
  for (size_t i = 0; i < accumulate.size(); ++i) {
    const NodeId node = backward.parameter_gradients[i].node;
    auto [flag, first] = flag_of.insert({node, accumulate[i]});
    ensure(first || flag->second == accumulate[i],
           "[compile] node {} gives two gradients of which only one accumulates", node);
    graph.mutable_node(node).attrs.set("accumulate", std::int64_t{accumulate[i]});
  }
  at->second = compile(graph, external_values(backward), kernels_);
  return at->second;
}

}  // namespace outsize
