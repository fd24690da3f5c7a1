// Every op's gradient rule, in float64 through the reference kernels: against differences of the
// forward along random directions, element by element where small, and against itself when all
// forward values are computed again.
#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <memory>

#include "graph/differentiate.h"
#include "ops/add/add.h"
#include "ops/harness.h"
#include "ops/op_test.h"

namespace outsize::testing {
namespace {

constexpr double kRelativeError = 1e-6;
constexpr std::int64_t kJacobianElements = 64;
// Differences of fourth order: error about kStep⁴, rounding about 2⁻⁵² / kStep.
constexpr double kStep = 5e-4;

int gradient_checks = 0;

class CountGradientChecks : public ::testing::Environment {
 public:
  void TearDown() override {
    std::printf("gradient checks: %d\n", gradient_checks);
    if (::testing::GTEST_FLAG(filter) == "*") {
      EXPECT_GT(gradient_checks, 0);
    }
  }
};
const auto* const environment =
    ::testing::AddGlobalTestEnvironment(std::make_unique<CountGradientChecks>().release());

class Gradient : public OpTest {};

INSTANTIATE_TEST_SUITE_P(Ops, Gradient, ::testing::ValuesIn(all_ops()), op_name);

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

std::vector<double> forward(const OneNodeGraph& one) {
  return interpret(one.graph, one.values).at(one.graph.outputs()[0].value);
}

// Derivative of the output along `direction` of one input, and the rounding error to expect of it.
struct Slope {
  std::vector<double> value;
  double rounding = 0;
};
Slope slope_along(const OneNodeGraph& one, ValueId input, const std::vector<double>& direction) {
  auto moved = [&](double step) {
    OneNodeGraph other = one;
    auto& values = other.values.at(input);
    for (size_t i = 0; i < values.size(); ++i) values[i] += step * direction[i];
    return forward(other);
  };
  const auto far_left = moved(-2 * kStep), left = moved(-kStep), right = moved(kStep),
             far_right = moved(2 * kStep);
  Slope slope;
  for (size_t i = 0; i < left.size(); ++i) {
    slope.value.push_back((far_left[i] - 8 * left[i] + 8 * right[i] - far_right[i]) / (12 * kStep));
    slope.rounding = std::max(slope.rounding, std::abs(left[i]));
  }
  slope.rounding *= 0x1p-48 / kStep;
  return slope;
}

// Gradients of <cotangent, output> with respect to the node's inputs, by the op's gradient rule.
RefValues gradients(const OneNodeGraph& one, const Backward& backward,
                    const std::vector<double>& cotangent, const RefValues& values) {
  RefValues given;
  for (const auto& saved : backward.saved) given[saved.backward] = values.at(saved.forward);
  for (ValueId id : backward.graph.parameters())
    given[id] = values.at(one.graph.find_parameter(backward.graph.value(id).name));
  for (const auto& seed : backward.output_cotangents) given[seed.value] = cotangent;
  const RefValues results = interpret(backward.graph, given);
  RefValues found;
  for (const auto& item : backward.input_cotangents) found[item.forward] = results.at(item.value);
  for (const auto& item : backward.parameter_gradients)
    found[item.forward] = results.at(item.value);
  for (const auto& again : backward.outputs_again)
    EXPECT_EQ(results.at(again.value), values.at(one.graph.outputs()[0].value)) << one.name;
  return found;
}

bool close(double got, double want, double scale, double rounding) {
  return std::abs(got - want) <= kRelativeError * scale + rounding;
}

// Returns whether the check could see a gradient that is one per cent too long.
bool check_direction(const OneNodeGraph& one, ValueId input, const std::vector<double>& gradient,
                     const std::vector<double>& cotangent) {
  const auto direction = normals(fmt::format("{}direction{}", one.name, input),
                                 static_cast<std::int64_t>(gradient.size()));
  const Slope slope = slope_along(one, input, direction);
  const double numeric = dot(slope.value, cotangent), analytic = dot(gradient, direction);
  const double rounding = slope.rounding * std::sqrt(dot(cotangent, cotangent));
  const double scale =
      std::max({std::abs(numeric), std::abs(analytic), std::sqrt(dot(gradient, gradient))});
  EXPECT_TRUE(close(analytic, numeric, scale, rounding))
      << one.name << " input " << input << ": gradient rule " << analytic << ", differences "
      << numeric << ", bound " << kRelativeError * scale + rounding;
  ++gradient_checks;
  return !close(1.01 * analytic, numeric, scale, rounding);
}

void check_jacobian(const OneNodeGraph& one, const Backward& backward, ValueId input,
                    const RefValues& values) {
  const auto rows = static_cast<size_t>(one.graph.type(one.graph.outputs()[0].value).shape.numel());
  const size_t columns = values.at(input).size();
  std::vector<std::vector<double>> rule;
  double scale = 0, rounding = 0;
  for (size_t r = 0; r < rows; ++r) {
    std::vector<double> unit(rows, 0.0);
    unit[r] = 1.0;
    rule.push_back(gradients(one, backward, unit, values).at(input));
    for (double x : rule.back()) scale = std::max(scale, std::abs(x));
  }
  for (size_t c = 0; c < columns; ++c) {
    std::vector<double> unit(columns, 0.0);
    unit[c] = 1.0;
    const Slope slope = slope_along(one, input, unit);
    rounding = std::max(rounding, slope.rounding);
    for (size_t r = 0; r < rows; ++r)
      ASSERT_TRUE(close(rule[r][c], slope.value[r], scale, rounding))
          << one.name << ": d output[" << r << "] / d input" << input << "[" << c
          << "]: gradient rule " << rule[r][c] << ", differences " << slope.value[r];
  }
}

// A missing gradient rule is a decision that the op's header states.
TEST_P(Gradient, ExistsOrTheHeaderSaysNot) {
  const std::string name = op().name;
  std::ifstream file(OUTSIZE_SOURCE_DIR "/src/ops/" + name + "/" + name + ".h");
  std::string text, word;
  while (file >> word)
    if (word != "//") text += word + " ";
  ASSERT_FALSE(text.empty());
  EXPECT_EQ(text.find("Not differentiable") == std::string::npos, op().gradient != nullptr);
}

TEST_P(Gradient, AgreesWithDifferences) {
  if (!op().gradient) return;
  std::vector<int> telling;  // per input: checks that a slightly wrong gradient would fail
  for (const Sample& sample : samples()) {
    const OneNodeGraph one = make_graph(op(), sample, DType::f32);
    telling.resize(std::max(telling.size(), one.inputs.size()), 0);
    const Backward backward = differentiate(one.graph, {.sum = &add_op()});
    const RefValues values = interpret(one.graph, one.values);
    const auto& output = values.at(one.graph.outputs()[0].value);
    const auto cotangent = normals(one.name + "seed", static_cast<std::int64_t>(output.size()));
    const RefValues found = gradients(one, backward, cotangent, values);
    for (size_t i = 0; i < one.inputs.size(); ++i) {
      if (!is_differentiable(op(), one, i)) continue;
      const ValueId input = one.inputs[i];
      ASSERT_TRUE(found.count(input)) << one.name << ": no gradient for input " << i;
      const auto& gradient = found.at(input);
      if (gradient.empty()) continue;
      if (check_direction(one, input, gradient, cotangent)) ++telling[i];
      if (static_cast<std::int64_t>(std::max(output.size(), gradient.size())) <= kJacobianElements)
        check_jacobian(one, backward, input, values);
      if (HasFailure()) return;
    }
  }
  const OneNodeGraph last = make_graph(op(), samples().back(), DType::f32);
  for (size_t i = 0; i < last.inputs.size(); ++i) {
    if (!is_differentiable(op(), last, i)) continue;
    EXPECT_GT(telling[i], 0) << "a gradient of input " << i << " off by 1 % would pass";
  }
}

TEST_P(Gradient, IsTheSameWhenForwardValuesAreComputedAgain) {
  if (!op().gradient) return;
  for (const Sample& sample : samples()) {
    const OneNodeGraph one = make_graph(op(), sample, DType::f32);
    const RefValues values = interpret(one.graph, one.values);
    const auto cotangent =
        normals(one.name + "seed",
                static_cast<std::int64_t>(values.at(one.graph.outputs()[0].value).size()));
    const Backward saving = differentiate(one.graph, {.sum = &add_op()});
    const Backward recomputing =
        differentiate(one.graph, {.may_save = [](ValueId) { return false; }, .sum = &add_op()});
    for (const auto& saved : recomputing.saved)
      EXPECT_EQ(one.graph.value(saved.forward).kind, Value::Kind::input) << one.name;
    EXPECT_EQ(gradients(one, saving, cotangent, values),
              gradients(one, recomputing, cotangent, values))
        << one.name;
  }
}

}  // namespace
}  // namespace outsize::testing
