#include "graph/graph.h"

#include <fmt/format.h>

#include <set>

#include "core/error.h"

namespace outsize {

std::string to_string(const ValueType& type) {
  return std::string(name_of(type.dtype)) + to_string(type.shape);
}

ValueId Graph::add_input(std::string name, ValueType type) {
  const ValueId id = static_cast<ValueId>(values_.size());
  values_.push_back({Value::Kind::input, std::move(name), type, -1});
  inputs_.push_back(id);
  return id;
}

ValueId Graph::add_parameter(std::string name, ValueType type) {
  const ValueId id = static_cast<ValueId>(values_.size());
  values_.push_back({Value::Kind::parameter, std::move(name), type, -1});
  parameters_.push_back(id);
  return id;
}

std::vector<ValueId> Graph::add_node(const OpDef& op, Attrs attrs, std::vector<ValueId> inputs) {
  std::vector<ValueType> types;
  for (ValueId id : inputs) types.push_back(type(id));
  const std::vector<ValueType> results = op.infer(attrs, types);
  const NodeId node = static_cast<NodeId>(nodes_.size());
  std::vector<ValueId> outputs;
  for (const ValueType& result : results) {
    outputs.push_back(static_cast<ValueId>(values_.size()));
    values_.push_back({Value::Kind::result, "", result, node});
  }
  nodes_.push_back({&op, std::move(attrs), std::move(inputs), outputs});
  return outputs;
}

ValueId Graph::add(const OpDef& op, Attrs attrs, std::vector<ValueId> inputs) {
  return add_node(op, std::move(attrs), std::move(inputs)).front();
}

void Graph::add_output(std::string name, ValueId value) {
  outputs_.push_back({std::move(name), value});
}

namespace {

ValueId find_named(const Graph& graph, std::span<const ValueId> ids, std::string_view name) {
  for (ValueId id : ids)
    if (graph.value(id).name == name) return id;
  return kNoValue;
}

}  // namespace

ValueId Graph::find_input(std::string_view name) const {
  return find_named(*this, inputs_, name);
}

ValueId Graph::find_parameter(std::string_view name) const {
  return find_named(*this, parameters_, name);
}

ValueId Graph::find_output(std::string_view name) const {
  for (const Output& output : outputs_)
    if (output.name == name) return output.value;
  return kNoValue;
}

void verify(const Graph& graph) {
  const auto count = static_cast<ValueId>(graph.values().size());
  std::vector<bool> ready(static_cast<size_t>(count), false);
  std::set<std::string> names;
  for (auto ids : {graph.inputs(), graph.parameters()})
    for (ValueId id : ids) {
      ready[static_cast<size_t>(id)] = true;
      ensure(names.insert(graph.value(id).name).second, "[graph] name '{}' is used twice",
             graph.value(id).name);
    }
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    std::vector<ValueType> types;
    for (ValueId id : node.inputs) {
      ensure(id >= 0 && id < count && ready[static_cast<size_t>(id)],
             "[graph] node {} ({}) reads value %{} before it exists", n, node.op->name, id);
      types.push_back(graph.type(id));
    }
    const std::vector<ValueType> results = node.op->infer(node.attrs, types);
    ensure(results.size() == node.outputs.size(),
           "[graph] node {} ({}) has {} outputs, expected {}", n, node.op->name,
           node.outputs.size(), results.size());
    for (size_t i = 0; i < results.size(); ++i) {
      const Value& value = graph.value(node.outputs[i]);
      ensure(value.type == results[i] && value.producer == static_cast<NodeId>(n),
             "[graph] output %{} of node {} ({}) is {}, expected {}", node.outputs[i], n,
             node.op->name, to_string(value.type), to_string(results[i]));
      ready[static_cast<size_t>(node.outputs[i])] = true;
    }
  }
  for (const Graph::Output& output : graph.outputs())
    ensure(output.value >= 0 && output.value < count && ready[static_cast<size_t>(output.value)],
           "[graph] output '{}' is never computed", output.name);
}

OpCall Graph::call(const Node& node) const {
  const auto types_of = [this](const std::vector<ValueId>& ids) {
    std::vector<ValueType> types;
    for (ValueId id : ids) types.push_back(type(id));
    return types;
  };
  return {node.op, node.attrs, types_of(node.inputs), types_of(node.outputs)};
}

std::string to_string(const OpCall& call) {
  const auto join = [](const std::vector<ValueType>& types) {
    std::string text;
    for (const ValueType& type : types) text += (text.empty() ? "" : ", ") + to_string(type);
    return text;
  };
  return call.op->name + to_string(call.attrs) + "(" + join(call.inputs) + ") -> " +
         join(call.outputs);
}

std::string to_string(const Graph& graph) {
  std::string text;
  for (auto ids : {graph.inputs(), graph.parameters()})
    for (ValueId id : ids)
      text += fmt::format("%{}:{} = {} \"{}\"\n", id, to_string(graph.type(id)),
                          graph.value(id).kind == Value::Kind::input ? "input" : "parameter",
                          graph.value(id).name);
  for (const Node& node : graph.nodes()) {
    for (size_t i = 0; i < node.outputs.size(); ++i)
      text += fmt::format("{}%{}:{}", i ? ", " : "", node.outputs[i],
                          to_string(graph.type(node.outputs[i])));
    text += fmt::format(" = {}{} (", node.op->name, to_string(node.attrs));
    for (size_t i = 0; i < node.inputs.size(); ++i)
      text += fmt::format("{}%{}", i ? ", " : "", node.inputs[i]);
    text += ")\n";
  }
  for (const Graph::Output& output : graph.outputs())
    text += fmt::format("output \"{}\" = %{}\n", output.name, output.value);
  return text;
}

}  // namespace outsize
