// The harness itself: a kernel that does wrong must not pass, in whichever way it does wrong.
#include "ops/harness.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "ops/add/add.h"

namespace outsize::testing {
namespace {

// add on two f32 values, done by a lambda.
struct LambdaKernel : Kernel {
  using Body = std::function<void(const float* a, const float* b, float* y, float* workspace)>;
  explicit LambdaKernel(Body body) : body(std::move(body)) {}
  std::int64_t workspace_bytes() const override { return 2 * sizeof(float); }
  Status launch(const KernelArgs& args) const noexcept override {
    body(static_cast<const float*>(args.inputs[0]), static_cast<const float*>(args.inputs[1]),
         static_cast<float*>(args.outputs[0]), static_cast<float*>(args.workspace));
    return {};
  }
  Body body;
};

std::string complaint_about(LambdaKernel::Body body) {
  using Kind = SampleInput::Kind;
  const Sample sample{"harness", {}, {{Kind::activation, {2}}, {Kind::activation, {2}}}};
  const OneNodeGraph one = make_graph(add_op(), sample, DType::f32);
  const NodeCase node = make_case(one.graph, one.graph.nodes()[0], one.values, one.name);
  const auto want = run_reference(node);
  return compare(node, launch(LambdaKernel(std::move(body)), node), want, error_bounds(node, want));
}

TEST(Harness, TakesTheRightResult) {
  EXPECT_EQ(complaint_about([](const float* a, const float* b, float* y, float*) {
              for (int i = 0; i < 2; ++i) y[i] = a[i] + b[i];
            }),
            "");
}

TEST(Harness, RejectsAResultSlightlyOff) {
  const std::string text = complaint_about([](const float* a, const float* b, float* y, float*) {
    for (int i = 0; i < 2; ++i) y[i] = (a[i] + b[i]) * (i == 1 ? 1.0001f : 1.0f);
  });
  EXPECT_NE(text.find("output 0 element 1"), std::string::npos) << text;
}

TEST(Harness, RejectsNanInfinityAndElementsNeverWritten) {
  for (float bad : {std::nanf(""), INFINITY, -INFINITY})
    EXPECT_NE(complaint_about([bad](const float* a, const float* b, float* y, float*) {
                y[0] = a[0] + b[0];
                y[1] = bad;
              }),
              "");
  EXPECT_NE(
      complaint_about([](const float* a, const float* b, float* y, float*) { y[0] = a[0] + b[0]; }),
      "");
}

TEST(Harness, RejectsUseOfAnUnwrittenWorkspace) {
  EXPECT_NE(complaint_about([](const float* a, const float* b, float* y, float* workspace) {
              for (int i = 0; i < 2; ++i) y[i] = a[i] + b[i] + 0.0f * workspace[i];
            }),
            "");
}

TEST(Harness, RejectsWritesOutsideTheOutputs) {
  auto add_and = [](auto more) {
    return [more](const float* a, const float* b, float* y, float* workspace) {
      for (int i = 0; i < 2; ++i) y[i] = a[i] + b[i];
      more(a, y, workspace);
    };
  };
  EXPECT_EQ(complaint_about(add_and([](const float*, float* y, float*) { y[2] = 1.0f; })),
            "wrote behind an output");
  EXPECT_EQ(complaint_about(add_and([](const float*, float*, float* space) { space[2] = 1.0f; })),
            "wrote behind its workspace");
  EXPECT_EQ(complaint_about(
                add_and([](const float* a, float*, float*) { const_cast<float*>(a)[0] = 1.0f; })),
            "changed an input");
}

}  // namespace
}  // namespace outsize::testing
