// Every kernel of every op and of every op in its gradient, against the float64 reference: each
// sample, dtype and instruction set, with poisoned outputs and workspace, accumulating or not, and
// the same bits on every repeat and for every number of threads.
#include <fmt/format.h>

#include <map>

#include "core/parallel.h"
#include "core/streaming.h"
#include "graph/differentiate.h"
#include "ops/activation/activation.h"
#include "ops/add/add.h"
#include "ops/embedding/embedding.h"
#include "ops/gated_activation/gated_activation.h"
#include "ops/harness.h"
#include "ops/layer_norm/layer_norm.h"
#include "ops/linear/linear.h"
#include "ops/op_test.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rope/rope.h"

namespace outsize::testing {
namespace {

class Kernels : public OpTest {
 protected:
  void TearDown() override {
    set_active_isa(best_isa());
    set_thread_count(threads_);
    set_streams_results(streams_);
  }
  struct Expected {
    std::vector<std::vector<double>> values, bounds;
  };
  // One launch compared with what is expected, and the same bits from a second one.
  LaunchResult check_launch(const NodeCase& node, const std::string& where, const Kernel& kernel,
                            const Expected& expected);
  void check_kernel(const NodeCase& node, const char* name, const Kernel& kernel,
                    const Expected& expected);
  void check_node(const NodeCase& node);
  // The node as it is and, if it can accumulate, accumulating.
  void check_both(NodeCase node);
  void check_backward(const OneNodeGraph& one, const RefValues& values);

  int threads_ = thread_count();
  bool streams_ = streams_results();
  std::map<std::string, int> compared_;  // elements per kernel
};

INSTANTIATE_TEST_SUITE_P(Ops, Kernels, ::testing::ValuesIn(all_ops()), op_name);

LaunchResult Kernels::check_launch(const NodeCase& node, const std::string& where,
                                   const Kernel& kernel, const Expected& expected) {
  const LaunchResult first = launch(kernel, node);
  const std::string difference = compare(node, first, expected.values, expected.bounds);
  EXPECT_TRUE(difference.empty()) << where << ": " << difference;
  EXPECT_EQ(launch(kernel, node).outputs, first.outputs) << where << ": a repeat differs";
  return first;
}

void Kernels::check_kernel(const NodeCase& node, const char* name, const Kernel& kernel,
                           const Expected& expected) {
  for (Isa isa : available_isas()) {
    set_active_isa(isa);
    const std::string where =
        fmt::format("{} / {} / kernel {} / {}", node.name, node.op->name, name, name_of(isa));
    set_thread_count(1);
    const LaunchResult first = check_launch(node, where, kernel, expected);
    set_thread_count(2);
    EXPECT_EQ(launch(kernel, node).outputs, first.outputs) << where << ": two threads differ";
    if (HasFailure()) return;
  }
  for (const auto& output : expected.values)
    compared_[fmt::format("{}.{}", node.op->name, name)] += static_cast<int>(output.size());
}

void Kernels::check_node(const NodeCase& node) {
  Expected expected{run_reference(node), {}};
  expected.bounds = error_bounds(node, expected.values);
  for (const KernelCandidate& candidate : node.op->kernels) {
    if (const char* reason = candidate.probe(node.query())) {
      EXPECT_STRNE(reason, "") << node.name << ": a refusal needs a reason";
      continue;
    }
    check_kernel(node, candidate.name, *candidate.make(node.query()), expected);
    if (HasFailure()) return;
  }
  // The last resort knows neither threads nor instruction sets.
  check_launch(node, node.name + " / " + node.op->name + " / reference",
               *make_reference_kernel(*node.op, node.query()), expected);
}

void Kernels::check_both(NodeCase node) {
  check_node(node);
  if (HasFailure() || node.op->accumulating_outputs == 0) return;
  node.attrs.set("accumulate", std::int64_t{1});
  node.name += " / accumulate";
  check_node(node);
}

void Kernels::check_backward(const OneNodeGraph& one, const RefValues& values) {
  const Backward backward = differentiate(one.graph, {.sum = &add_op()});
  RefValues given;
  for (const auto& saved : backward.saved) given[saved.backward] = values.at(saved.forward);
  for (ValueId id : backward.graph.parameters())
    given[id] = values.at(one.graph.find_parameter(backward.graph.value(id).name));
  for (const auto& seed : backward.output_cotangents)
    given[seed.value] = normals(one.name + "seed", backward.graph.type(seed.value).shape.numel());
  const RefValues results = interpret(backward.graph, given);
  for (const Node& node : backward.graph.nodes()) {
    check_both(make_case(backward.graph, node, results, one.name));
    if (HasFailure()) return;
  }
}

TEST_P(Kernels, AgreeWithTheReference) {
  for (const Sample& sample : samples())
    for (DType dtype : {DType::f32, DType::bf16}) {
      const OneNodeGraph one = make_graph(op(), sample, dtype);
      const RefValues values = interpret(one.graph, one.values);
      check_both(make_case(one.graph, one.graph.nodes()[0], values, one.name));
      if (HasFailure()) return;
      if (op().gradient) check_backward(one, values);
      if (HasFailure()) return;
    }
  // Each kernel must have been compared somewhere; samples without elements do not count.
  for (const KernelCandidate& candidate : op().kernels)
    EXPECT_GT(compared_[fmt::format("{}.{}", op().name, candidate.name)], 0)
        << "kernel " << candidate.name << " takes no sample";
  for (const auto& [kernel, elements] : compared_) EXPECT_GT(elements, 0) << kernel;
}

// ---- Results past the caches --------------------------------------------------------------------

class LargeResults : public Kernels {
 protected:
  // The results have kRows rows; those of odd widths are aligned for it only now and then.
  static constexpr std::int64_t kRows = 1100;
  Sample sample(std::int64_t width) const;
};

Sample LargeResults::sample(std::int64_t width) const {
  using Kind = SampleInput::Kind;
  const std::string name = op().name;
  const SampleInput x{Kind::activation, {kRows, width}}, w{Kind::vector, {width}};
  const Attrs kind{{"kind", std::int64_t{1}}};
  const std::string text = fmt::format("{}x{}", kRows, width);
  if (name == "add") return {text, {}, {x, x}};
  if (name == "activation") return {text, kind, {x}};
  if (name == "gated_activation") return {text, kind, {x, x}};
  if (name == "layer_norm") return {text, {{"eps", 1e-5}}, {x, w, w}};
  if (name == "rms_norm") return {text, {{"eps", 1e-5}, {"weight_offset", 1.0}}, {x, w}};
  if (name == "rope") return {text, {{"head_dim", width}}, {x, {Kind::vector, {kRows, width}}}};
  return {
      text, {{"scale", 1.5}}, {{Kind::weight, {30, width}}, {Kind::integers, {kRows}, 0, 29, {}}}};
}

TEST_P(LargeResults, AgreeWithTheReference) {
  set_streams_results(true);  // small ones never do
  for (const std::int64_t width : {128, 134})
    for (DType dtype : {DType::f32, DType::bf16}) {
      ASSERT_GE(kRows * width * size_of(dtype), kStreamedBytes);
      const OneNodeGraph one = make_graph(op(), sample(width), dtype);
      const RefValues values = interpret(one.graph, one.values);
      check_both(make_case(one.graph, one.graph.nodes()[0], values, one.name));
      if (HasFailure()) return;
      check_backward(one, values);
      if (HasFailure()) return;
    }
}

INSTANTIATE_TEST_SUITE_P(Ops, LargeResults,
                         ::testing::Values(&add_op(), &activation_op(), &gated_activation_op(),
                                           &layer_norm_op(), &rms_norm_op(), &rope_op(),
                                           &embedding_op()),
                         op_name);

// Wide enough for bias gradients by several rows at once, and for a bf16 dy that is turned over
// past the caches.
class WideGradients : public Kernels {};

TEST_P(WideGradients, AgreeWithTheReference) {
  using Kind = SampleInput::Kind;
  const SampleInput dy{Kind::activation, {608, 2064}}, x{Kind::activation, {608, 16}};
  const bool bias = &op() == &linear_grad_bias_op();
  const Sample sample{
      "608x2064", {{"accumulate", std::int64_t{0}}}, bias ? std::vector{dy} : std::vector{dy, x}};
  for (DType dtype : {DType::f32, DType::bf16}) {
    const OneNodeGraph one = make_graph(op(), sample, dtype);
    const RefValues values = interpret(one.graph, one.values);
    check_both(make_case(one.graph, one.graph.nodes()[0], values, one.name));
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, WideGradients,
                         ::testing::Values(&linear_grad_bias_op(), &linear_grad_weight_op()),
                         op_name);

}  // namespace
}  // namespace outsize::testing
