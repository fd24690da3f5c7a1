#include "graph/differentiate.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/error.h"

namespace outsize {
namespace {

class Differentiator {
 public:
  Differentiator(const Graph& forward, const DifferentiateOptions& options)
      : forward_(forward), options_(options) {}

  Backward run();

 private:
  friend class NodeContext;

  void mark_needed();
  void seed_output_cotangents();
  void finish();
  // The forward value inside the backward graph: parameter, saved input, or recomputed.
  ValueId forward_value(ValueId id);
  void add_cotangent(ValueId id, ValueId cotangent);
  void set_output_again(ValueId id, ValueId again);

  const Graph& forward_;
  const DifferentiateOptions& options_;
  Backward result_;
  std::vector<bool> needed_;              // per forward value: does a gradient flow to it?
  std::map<ValueId, ValueId> cotangent_;  // forward value -> backward value
  std::map<ValueId, ValueId> available_;  // forward value -> backward value
};

class NodeContext : public GradContext {
 public:
  NodeContext(Differentiator& owner, const Node& node) : owner_(owner), node_(node) {}

  const Attrs& attrs() const override { return node_.attrs; }
  const ValueType& input_type(int i) const override { return owner_.forward_.type(input_id(i)); }
  int input_count() const override { return static_cast<int>(node_.inputs.size()); }
  ValueId input(int i) override { return owner_.forward_value(input_id(i)); }
  ValueId output(int i) override {
    return owner_.forward_value(node_.outputs[static_cast<size_t>(i)]);
  }
  ValueId cotangent(int i) const override {
    auto at = owner_.cotangent_.find(node_.outputs[static_cast<size_t>(i)]);
    return at == owner_.cotangent_.end() ? kNoValue : at->second;
  }
  bool needs(int i) const override { return owner_.needed_[static_cast<size_t>(input_id(i))]; }
  std::vector<ValueId> add_node(const OpDef& op, Attrs attrs,
                                std::vector<ValueId> inputs) override {
    return owner_.result_.graph.add_node(op, std::move(attrs), std::move(inputs));
  }
  void set_cotangent(int i, ValueId value) override {
    if (needs(i)) owner_.add_cotangent(input_id(i), value);
  }
  void set_output_again(int i, ValueId value) override {
    owner_.set_output_again(node_.outputs[static_cast<size_t>(i)], value);
  }

 private:
  ValueId input_id(int i) const { return node_.inputs[static_cast<size_t>(i)]; }

  Differentiator& owner_;
  const Node& node_;
};

Backward Differentiator::run() {
  mark_needed();
  seed_output_cotangents();
  for (size_t n = forward_.nodes().size(); n-- > 0;) {
    const Node& node = forward_.nodes()[n];
    const bool flows_back = std::any_of(node.outputs.begin(), node.outputs.end(),
                                        [&](ValueId id) { return cotangent_.count(id) > 0; });
    const bool wanted = std::any_of(node.inputs.begin(), node.inputs.end(),
                                    [&](ValueId id) { return needed_[static_cast<size_t>(id)]; });
    if (!flows_back || !wanted) continue;
    ensure(node.op->gradient != nullptr, "[differentiate] op '{}' has no gradient rule",
           node.op->name);
    NodeContext context(*this, node);
    node.op->gradient(context);
  }
  finish();
  verify(result_.graph);
  return std::move(result_);
}

void Differentiator::mark_needed() {
  needed_.assign(forward_.values().size(), false);
  for (ValueId id : forward_.parameters())
    needed_[static_cast<size_t>(id)] =
        !options_.wants_parameter_gradient || options_.wants_parameter_gradient(id);
  for (ValueId id : forward_.inputs())
    needed_[static_cast<size_t>(id)] =
        is_float(forward_.type(id).dtype) &&
        (!options_.wants_input_cotangent || options_.wants_input_cotangent(id));
  for (const Node& node : forward_.nodes()) {
    const bool any = std::any_of(node.inputs.begin(), node.inputs.end(),
                                 [&](ValueId id) { return needed_[static_cast<size_t>(id)]; });
    for (ValueId id : node.outputs)
      needed_[static_cast<size_t>(id)] = any && is_float(forward_.type(id).dtype);
  }
}

void Differentiator::seed_output_cotangents() {
  int index = 0;
  for (const Graph::Output& output : forward_.outputs()) {
    if (needed_[static_cast<size_t>(output.value)]) {
      const ValueId seed = result_.graph.add_input("d_" + output.name, forward_.type(output.value));
      result_.output_cotangents.push_back({index, seed});
      add_cotangent(output.value, seed);
    }
    ++index;
  }
}

void Differentiator::add_cotangent(ValueId id, ValueId cotangent) {
  if (forward_.value(id).kind == Value::Kind::parameter) {
    const NodeId node = result_.graph.value(cotangent).producer;
    ensure(result_.graph.type(cotangent).dtype == DType::f32,
           "[differentiate] gradient of parameter '{}' is not f32", forward_.value(id).name);
    result_.parameter_gradients.push_back({id, cotangent, node});
    return;
  }
  ensure(result_.graph.type(cotangent) == forward_.type(id),
         "[differentiate] cotangent of %{} is {}, expected {}", id,
         to_string(result_.graph.type(cotangent)), to_string(forward_.type(id)));
  auto [at, fresh] = cotangent_.insert({id, cotangent});
  if (!fresh) at->second = result_.graph.add(*options_.sum, {}, {at->second, cotangent});
}

void Differentiator::set_output_again(ValueId id, ValueId again) {
  int index = 0;
  for (const Graph::Output& output : forward_.outputs()) {
    if (output.value == id) {
      result_.outputs_again.push_back({index, again});
      result_.graph.add_output(output.name, again);
    }
    ++index;
  }
}

ValueId Differentiator::forward_value(ValueId id) {
  if (auto at = available_.find(id); at != available_.end()) return at->second;
  const Value& value = forward_.value(id);
  if (value.kind == Value::Kind::parameter)
    return available_[id] = result_.graph.add_parameter(value.name, value.type);
  const bool saved =
      value.kind == Value::Kind::input || !options_.may_save || options_.may_save(id);
  if (saved) {
    const std::string name = value.kind == Value::Kind::input ? value.name : fmt::format("s{}", id);
    const ValueId stand_in = result_.graph.add_input(name, value.type);
    result_.saved.push_back({id, stand_in});
    return available_[id] = stand_in;
  }
  const Node& node = forward_.node(value.producer);
  std::vector<ValueId> inputs;
  for (ValueId input : node.inputs) inputs.push_back(forward_value(input));
  const std::vector<ValueId> outputs = result_.graph.add_node(*node.op, node.attrs, inputs);
  for (size_t i = 0; i < outputs.size(); ++i) available_.insert({node.outputs[i], outputs[i]});
  return available_.at(id);
}

void Differentiator::finish() {
  for (ValueId id : forward_.inputs()) {
    auto at = cotangent_.find(id);
    if (at == cotangent_.end()) continue;
    result_.input_cotangents.push_back({id, at->second});
    result_.graph.add_output("d_" + forward_.value(id).name, at->second);
  }
  std::stable_sort(result_.parameter_gradients.begin(), result_.parameter_gradients.end(),
                   [](const auto& a, const auto& b) { return a.node < b.node; });
  int index = 0;
  for (const auto& gradient : result_.parameter_gradients)
    result_.graph.add_output(fmt::format("g{}_{}", index++, forward_.value(gradient.forward).name),
                             gradient.value);
}

}  // namespace

Backward differentiate(const Graph& forward, const DifferentiateOptions& options) {
  return Differentiator(forward, options).run();
}

}  // namespace outsize
