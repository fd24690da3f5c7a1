// Runs a graph with the float64 reference kernels: the oracle for every other way of running it.
#pragma once

#include <map>
#include <vector>

#include "graph/graph.h"

namespace outsize {

using RefValues = std::map<ValueId, std::vector<double>>;  // row-major contents per value

// `given` holds inputs and parameters; returns all values. Missing inputs throw InvalidArgument.
// Nodes with accumulate=1 start from `given` for that output, or from zeros.
RefValues interpret(const Graph& graph, RefValues given);

}  // namespace outsize
