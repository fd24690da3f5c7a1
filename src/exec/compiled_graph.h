// A graph ready to run: a kernel per node, and a place by lifetime for every value that lives only
// inside the graph. What crosses its boundary is bound at each task.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "plan/planner.h"

namespace outsize {

enum class KernelChoice {
  best,       // the first candidate that takes the query
  reference,  // float64 loops: the oracle
  null,       // nothing is computed (backends/null)
};

// Kernels are stateless, so nodes that ask the same share one. Keyed by op, attributes and types.
class KernelCache {
 public:
  explicit KernelCache(KernelChoice choice = KernelChoice::best) : choice_(choice) {}
  const Kernel* get(const OpCall& call);

 private:
  std::unique_ptr<Kernel> make(const OpDef& op, const KernelQuery& query) const;

  KernelChoice choice_;
  std::map<std::string, std::unique_ptr<Kernel>> kernels_;
};

// Seconds that one call takes on some machine.
using OpPrice = std::function<double(const OpCall&)>;

struct CompiledGraph {
  struct Step {
    const Kernel* kernel = nullptr;
    std::shared_ptr<const OpCall> call;  // what is computed
    std::vector<ValueId> inputs, outputs;
  };
  std::vector<Step> steps;
  static constexpr std::int64_t kExternal = -1;
  std::vector<std::int64_t> offsets;  // per value: bytes into the scratch, or kExternal
  std::int64_t workspace_offset = 0;  // shared by all kernels, which run one after another
  std::int64_t scratch_bytes = 0;     // values and workspace
  Cost cost;

  // Sum over its steps, which run one after another; of `targets` those that hang on them.
  SegmentProfile::Seconds seconds(const OpPrice& price) const;
};

// Inputs and parameters are external, and every value in `external`.
CompiledGraph compile(const Graph& graph, const std::set<ValueId>& external, KernelCache& kernels);

}  // namespace outsize
