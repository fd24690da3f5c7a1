// A static program over values with fixed shapes: what a segment computes. Nodes are in execution
// order. Knows no device and no memory; "tensor" is runtime storage and lives elsewhere.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/op.h"

namespace outsize {

using ValueId = std::int32_t;
using NodeId = std::int32_t;
constexpr ValueId kNoValue = -1;

struct Value {
  enum class Kind { input, parameter, result };
  Kind kind = Kind::result;
  std::string name;
  ValueType type;
  NodeId producer = -1;  // for results
};

struct Node {
  const OpDef* op = nullptr;
  Attrs attrs;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
};

class Graph {
 public:
  ValueId add_input(std::string name, ValueType type);
  ValueId add_parameter(std::string name, ValueType type);
  // Appends a node; runs the op's shape rule (InvalidArgument). Returns its output values.
  std::vector<ValueId> add_node(const OpDef& op, Attrs attrs, std::vector<ValueId> inputs);
  // As add_node for its first output.
  ValueId add(const OpDef& op, Attrs attrs, std::vector<ValueId> inputs);
  void add_output(std::string name, ValueId value);

  const Value& value(ValueId id) const { return values_[static_cast<size_t>(id)]; }
  const ValueType& type(ValueId id) const { return value(id).type; }
  const Node& node(NodeId id) const { return nodes_[static_cast<size_t>(id)]; }
  // What one of its nodes launches: op and attributes with the types of its values.
  OpCall call(const Node& node) const;
  Node& mutable_node(NodeId id) { return nodes_[static_cast<size_t>(id)]; }

  std::span<const Value> values() const { return values_; }
  std::span<const Node> nodes() const { return nodes_; }
  std::span<const ValueId> inputs() const { return inputs_; }
  std::span<const ValueId> parameters() const { return parameters_; }

  struct Output {
    std::string name;
    ValueId value;
  };
  std::span<const Output> outputs() const { return outputs_; }
  // kNoValue when absent.
  ValueId find_input(std::string_view name) const;
  ValueId find_parameter(std::string_view name) const;
  ValueId find_output(std::string_view name) const;

 private:
  std::vector<Value> values_;
  std::vector<Node> nodes_;
  std::vector<ValueId> inputs_, parameters_;
  std::vector<Output> outputs_;
};

// Checks what add_node cannot: order, producers, names, types re-inferred. Throws Internal.
void verify(const Graph& graph);

// One node per line: "%4:bf16[8,16] = linear{} (%0, %1)".
std::string to_string(const Graph& graph);

}  // namespace outsize
