#include "exec/compiled_graph.h"

#include <algorithm>

#include "backends/null/null_kernel.h"
#include "core/gap_allocator.h"
#include "ops/ops.h"

namespace outsize {

const Kernel* KernelCache::get(const OpCall& call) {
  auto [at, fresh] = kernels_.try_emplace(to_string(call));
  if (fresh) at->second = make(*call.op, call.query());
  return at->second.get();
}

std::unique_ptr<Kernel> KernelCache::make(const OpDef& op, const KernelQuery& query) const {
  switch (choice_) {
    case KernelChoice::best:
      return make_kernel(op, query);
    case KernelChoice::reference:
      return make_reference_kernel(op, query);
    case KernelChoice::null:
      return std::make_unique<NullKernel>();
  }
  return nullptr;
}

namespace {

// Offsets of the values that live only inside the graph: from the node that makes them to the last
// that reads them.
void lay_out(const Graph& graph, const std::set<ValueId>& external, CompiledGraph& compiled) {
  const auto nodes = graph.nodes();
  std::vector<size_t> last(graph.values().size(), 0);
  for (size_t n = 0; n < nodes.size(); ++n)
    for (const auto* ids : {&nodes[n].inputs, &nodes[n].outputs})
      for (ValueId id : *ids) last[static_cast<size_t>(id)] = n;
  auto is_local = [&](ValueId id) {
    return graph.value(id).kind == Value::Kind::result && external.count(id) == 0;
  };
  compiled.offsets.assign(graph.values().size(), CompiledGraph::kExternal);
  GapAllocator arena;
  for (size_t n = 0; n < nodes.size(); ++n) {
    for (ValueId id : nodes[n].outputs)
      if (is_local(id))
        compiled.offsets[static_cast<size_t>(id)] = arena.take(graph.type(id).bytes());
    std::set<ValueId> ended(nodes[n].inputs.begin(), nodes[n].inputs.end());
    ended.insert(nodes[n].outputs.begin(), nodes[n].outputs.end());
    for (ValueId id : ended)
      if (is_local(id) && last[static_cast<size_t>(id)] == n)
        arena.give(compiled.offsets[static_cast<size_t>(id)], graph.type(id).bytes());
  }
  compiled.workspace_offset = arena.end();
}

}  // namespace

CompiledGraph compile(const Graph& graph, const std::set<ValueId>& external, KernelCache& kernels) {
  CompiledGraph compiled;
  lay_out(graph, external, compiled);
  std::int64_t workspace = 0;
  for (const Node& node : graph.nodes()) {
    auto call = std::make_shared<const OpCall>(graph.call(node));
    const Kernel* kernel = kernels.get(*call);
    workspace = std::max(workspace, kernel->workspace_bytes());
    const Cost cost = node.op->cost(call->query());
    compiled.steps.push_back({kernel, std::move(call), node.inputs, node.outputs});
    compiled.cost.flops += cost.flops;
    compiled.cost.bytes_read += cost.bytes_read;
    compiled.cost.bytes_written += cost.bytes_written;
  }
  compiled.scratch_bytes = compiled.workspace_offset + GapAllocator::aligned(workspace);
  return compiled;
}

SegmentProfile::Seconds CompiledGraph::seconds(const OpPrice& price) const {
  SegmentProfile::Seconds sum;
  for (const Step& step : steps) {
    sum.all += price(*step.call);
    const auto with_targets = step.call->op->with_targets;
    if (with_targets == nullptr) continue;
    sum.targets.resize(kTargetPrices);
    double share = 1;
    for (double& seconds : sum.targets) {
      seconds += price(with_targets(*step.call, share));
      share /= 2;
    }
  }
  return sum;
}

}  // namespace outsize
