// A program: segments (graphs compiled once) and the ordered calls that apply them to boundary
// values and parameters. It says what is computed; where bytes live and when they move is the
// plan's part.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace outsize {

struct Segment {
  std::string name;  // "embed", "block", "head"
  Graph graph;       // its graph outputs are the segment's outputs
};

struct ProgramParameter {
  std::string name;  // the Hugging Face tensor name, with "#part" where one tensor holds several
  ValueType type;
  bool decay = false;  // weight decay applies (matrices, not norms and biases)
};

struct ProgramValue {
  enum class Role {
    batch,     // written by the host before each microbatch (tokens, targets, …)
    boundary,  // passed between calls
    result,    // read by the host (loss, logits)
    state,     // lives across steps and is updated in place (key/value cache)
  };
  std::string name;
  ValueType type;
  Role role = Role::boundary;
};

struct Call {
  std::string name;  // "block.3"
  int segment = 0;
  // Indices into Program::values and Program::parameters, in the order of the segment graph's
  // inputs, outputs and parameters.
  std::vector<int> inputs, outputs, parameters;
};

struct Program {
  std::vector<Segment> segments;
  std::vector<Call> calls;
  std::vector<ProgramParameter> parameters;
  std::vector<ProgramValue> values;

  int find_value(std::string_view name) const;      // -1 when absent
  int find_parameter(std::string_view name) const;  // -1 when absent
};

// Checks indices, types and that every boundary value is written once before it is read. Throws
// Internal.
void verify(const Program& program);

}  // namespace outsize
