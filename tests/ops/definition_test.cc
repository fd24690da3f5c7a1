// What every op's definition must hold, kernels aside: samples, shape rule, refusals, costs.
#include <gmock/gmock.h>

#include <filesystem>
#include <set>

#include "core/error.h"
#include "graph/differentiate.h"
#include "ops/add/add.h"
#include "ops/harness.h"
#include "ops/op_test.h"

namespace outsize::testing {
namespace {

class Definition : public OpTest {};

INSTANTIATE_TEST_SUITE_P(Ops, Definition, ::testing::ValuesIn(all_ops()), op_name);

TEST_P(Definition, HasSamplesAndAFolder) {
  EXPECT_FALSE(samples().empty());
  ASSERT_NE(op().bad_samples, nullptr);
  EXPECT_FALSE(op().bad_samples().empty());
  EXPECT_EQ(op().gradient_of, nullptr) << "gradient ops are reached through their op";
  const std::filesystem::path folder = std::filesystem::path(OUTSIZE_SOURCE_DIR) / "src/ops";
  EXPECT_TRUE(std::filesystem::exists(folder / op().name / (std::string(op().name) + ".h")));
  std::set<std::string> names;
  for (const Sample& sample : samples())
    EXPECT_TRUE(names.insert(sample.name).second) << "two samples are named " << sample.name;
}

TEST(OpList, NamesAreUnique) {
  std::set<std::string> names;
  for (const OpDef* op : all_ops()) EXPECT_TRUE(names.insert(op->name).second) << op->name;
  EXPECT_GE(names.size(), 9u);
}

TEST_P(Definition, ShapeRuleTakesEverySample) {
  for (const Sample& sample : samples())
    for (DType dtype : {DType::f32, DType::bf16}) {
      const OneNodeGraph one = make_graph(op(), sample, dtype);
      EXPECT_NO_THROW(verify(one.graph)) << one.name;
      for (const ValueId id : one.graph.nodes()[0].outputs)
        EXPECT_NE(to_string(one.graph).find(to_string(one.graph.type(id))), std::string::npos);
    }
}

TEST_P(Definition, ShapeRuleRefusesEveryBadSample) {
  for (const BadSample& bad : op().bad_samples()) {
    std::string types;
    for (const ValueType& type : bad.inputs) types += to_string(type) + " ";
    try {
      op().infer(bad.attrs, bad.inputs);
      ADD_FAILURE() << op().name << " took " << types << to_string(bad.attrs);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument) << types << error.what();
      EXPECT_THAT(error.what(), ::testing::HasSubstr(bad.message)) << types;
      EXPECT_THAT(error.what(), ::testing::StartsWith(std::string("[") + op().name + "]"));
      EXPECT_THAT(error.what(), ::testing::HasSubstr("; got ")) << types;
    }
  }
}

// An op reads each operand at least as far as its result needs it, and writes all of its outputs
// but those it may merely add to.
void check_cost(const NodeCase& node) {
  double written = 0, smallest_read = 0;
  for (size_t i = 0; i < node.outputs.size(); ++i)
    if (!(node.op->accumulating_outputs >> i & 1u))
      written += static_cast<double>(node.outputs[i].bytes());
  for (const ValueType& type : node.inputs) {
    if (type.bytes() == 0) return;
    smallest_read += std::min(static_cast<double>(type.bytes()), written);
  }
  const Cost cost = node.op->cost(node.query());
  EXPECT_GT(cost.flops, 0) << node.name;
  EXPECT_GE(cost.bytes_read, smallest_read) << node.name;
  EXPECT_GE(cost.bytes_written, written) << node.name;
  EXPECT_GT(cost.bytes_written, 0) << node.name;
  EXPECT_LT(cost.flops, 1e15) << node.name;
  EXPECT_LT(cost.bytes_read + cost.bytes_written, 1e15) << node.name;
}

TEST_P(Definition, CostsAreSane) {
  for (const Sample& sample : samples())
    for (DType dtype : {DType::f32, DType::bf16}) {
      const OneNodeGraph one = make_graph(op(), sample, dtype);
      const RefValues values = interpret(one.graph, one.values);
      check_cost(make_case(one.graph, one.graph.nodes()[0], values, one.name));
      if (!op().gradient) continue;
      const Backward backward = differentiate(one.graph, {.sum = &add_op()});
      for (const Node& node : backward.graph.nodes()) {
        NodeCase bare{one.name + " / " + node.op->name, node.op, node.attrs, {}, {}, {}, {}};
        for (ValueId id : node.inputs) bare.inputs.push_back(backward.graph.type(id));
        for (ValueId id : node.outputs) bare.outputs.push_back(backward.graph.type(id));
        check_cost(bare);
      }
    }
}

}  // namespace
}  // namespace outsize::testing
