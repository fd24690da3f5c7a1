#include "graph/interpret.h"

#include "core/error.h"

namespace outsize {

RefValues interpret(const Graph& graph, RefValues given) {
  for (auto ids : {graph.inputs(), graph.parameters()})
    for (ValueId id : ids) {
      const auto at = given.find(id);
      if (at == given.end() ||
          static_cast<std::int64_t>(at->second.size()) != graph.type(id).shape.numel())
        fail(ErrorKind::InvalidArgument, "[interpret] value '{}' is missing or has another size",
             graph.value(id).name);
    }
  for (const Node& node : graph.nodes()) {
    std::vector<RefTensor> inputs, outputs;
    for (ValueId id : node.inputs) inputs.push_back({graph.type(id).shape, given.at(id)});
    for (ValueId id : node.outputs) {
      auto& data = given[id];
      data.resize(static_cast<size_t>(graph.type(id).shape.numel()), 0.0);
      outputs.push_back({graph.type(id).shape, data});
    }
    node.op->reference(node.attrs, inputs, outputs);
  }
  return given;
}

}  // namespace outsize
