// What the tests of all ops share: a one-node graph from a sample, its contents, and one launch of
// a kernel between poison and guards. Nothing here knows any op.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/isa.h"
#include "graph/graph.h"
#include "graph/interpret.h"

namespace outsize::testing {

// A sample as a graph of one node. Weights and vectors are parameters, the others inputs. Only
// output 0 is a graph output: by convention an op's further outputs serve its gradient alone.
struct OneNodeGraph {
  Graph graph;
  std::vector<ValueId> inputs;  // of the node
  RefValues values;             // contents of `inputs`, representable in their dtypes
  std::string name;             // "op / sample / dtype", for messages
};
OneNodeGraph make_graph(const OpDef& op, const Sample& sample, DType dtype);

// Floating inputs must get a gradient unless the op's contract calls them constants.
bool is_differentiable(const OpDef& op, const OneNodeGraph& one, size_t input);

// One node with the contents of its inputs (and of its outputs, where it accumulates).
struct NodeCase {
  std::string name;
  const OpDef* op = nullptr;
  Attrs attrs;
  std::vector<ValueType> inputs, outputs;
  std::vector<std::vector<double>> values;  // per input
  std::vector<std::vector<double>> old;     // per output; used where accumulating() says so

  KernelQuery query() const { return {attrs, inputs, outputs}; }
  bool accumulating(size_t output) const;
};
// Takes the contents from `values`, rounded to the dtypes; outputs get random old contents.
NodeCase make_case(const Graph& graph, const Node& node, const RefValues& values, std::string name);

// The float64 reference of the case: contents per output.
std::vector<std::vector<double>> run_reference(const NodeCase& node);

// Bound on the error of each element of each output of a kernel:
//   tolerance_factor · epsilon · (|want| + rms(want) + 2·(s + rms(s))),
// where epsilon is that of the coarsest floating dtype involved and s·epsilon is what relative
// perturbations of the inputs by epsilon do to the element (twice, as a term of a sum is rounded as
// a product and as part of the sum). So s is large for long sums that cancel, and the bound follows
// norm and length of a reduction without knowing of it.
std::vector<std::vector<double>> error_bounds(const NodeCase& node,
                                              const std::vector<std::vector<double>>& want);

struct LaunchResult {
  std::vector<std::vector<std::byte>> outputs;
  std::string failure;  // status or a broken guard; empty when well
};
// Fills workspace and outputs with NaN bytes first, and looks at guards behind each buffer after.
LaunchResult launch(const Kernel& kernel, const NodeCase& node);

// Empty when every element is within its bound, else the worst one, in words. Elements must be
// numbers.
std::string compare(const NodeCase& node, const LaunchResult& got,
                    const std::vector<std::vector<double>>& want,
                    const std::vector<std::vector<double>>& bounds);

double rounded(DType dtype, double x);
std::vector<Isa> available_isas();
// Random numbers from a name: tests need no order among themselves.
std::vector<double> normals(const std::string& name, std::int64_t count);

}  // namespace outsize::testing
