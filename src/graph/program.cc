#include "graph/program.h"

#include "core/error.h"

namespace outsize {
namespace {

template <class List>
int find_named(const List& list, std::string_view name) {
  for (size_t i = 0; i < list.size(); ++i)
    if (list[i].name == name) return static_cast<int>(i);
  return -1;
}

void check_types(const Program& program, const Call& call) {
  const Graph& graph = program.segments.at(static_cast<size_t>(call.segment)).graph;
  ensure(call.inputs.size() == graph.inputs().size() &&
             call.outputs.size() == graph.outputs().size() &&
             call.parameters.size() == graph.parameters().size(),
         "[program] call '{}' does not match its segment's signature", call.name);
  for (size_t i = 0; i < call.inputs.size(); ++i)
    ensure(program.values.at(static_cast<size_t>(call.inputs[i])).type ==
               graph.type(graph.inputs()[i]),
           "[program] call '{}', input {}: type differs", call.name, i);
  for (size_t i = 0; i < call.outputs.size(); ++i)
    ensure(program.values.at(static_cast<size_t>(call.outputs[i])).type ==
               graph.type(graph.outputs()[i].value),
           "[program] call '{}', output {}: type differs", call.name, i);
  for (size_t i = 0; i < call.parameters.size(); ++i)
    ensure(program.parameters.at(static_cast<size_t>(call.parameters[i])).type ==
               graph.type(graph.parameters()[i]),
           "[program] call '{}', parameter {}: type differs", call.name, i);
}

}  // namespace

int Program::find_value(std::string_view name) const {
  return find_named(values, name);
}

int Program::find_parameter(std::string_view name) const {
  return find_named(parameters, name);
}

void verify(const Program& program) {
  using Role = ProgramValue::Role;
  std::vector<bool> ready;
  for (const ProgramValue& value : program.values)
    ready.push_back(value.role == Role::batch || value.role == Role::state);
  for (const Segment& segment : program.segments) verify(segment.graph);
  for (const Call& call : program.calls) {
    check_types(program, call);
    for (int id : call.inputs)
      ensure(ready[static_cast<size_t>(id)], "[program] call '{}' reads '{}' before it is written",
             call.name, program.values[static_cast<size_t>(id)].name);
    for (int id : call.outputs) {
      const ProgramValue& value = program.values[static_cast<size_t>(id)];
      ensure(value.role == Role::state || !ready[static_cast<size_t>(id)],
             "[program] call '{}' writes '{}' a second time", call.name, value.name);
      ready[static_cast<size_t>(id)] = true;
    }
  }
}

}  // namespace outsize
