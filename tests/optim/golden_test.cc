// Parity with torch and transformers through goldens.json (make_goldens.py).
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "optim/clip.h"
#include "optim/harness.h"
#include "optim/schedule.h"

namespace outsize {
namespace {

const nlohmann::json& goldens() {
  static const nlohmann::json json = [] {
    std::ifstream file(OUTSIZE_SOURCE_DIR "/tests/optim/goldens.json");
    return nlohmann::json::parse(file);
  }();
  return json;
}

OptimizerOptions options_of(const nlohmann::json& golden) {
  OptimizerOptions options{.name = golden["name"]};
  const nlohmann::json& given = golden["options"];
  options.weight_decay = given.value("weight_decay", 0.0);
  options.beta1 = given.value("beta1", options.beta1);
  options.beta2 = given.value("beta2", options.beta2);
  options.eps = given.value("eps", options.eps);
  options.momentum = given.value("momentum", 0.0);
  options.nesterov = given.value("nesterov", false);
  options.decay_rate = given.value("decay_rate", options.decay_rate);
  options.clip_threshold = given.value("clip_threshold", options.clip_threshold);
  if (given.contains("eps1")) options.eps1 = given["eps1"];
  options.eps2 = given.value("eps2", options.eps2);
  return options;
}

// Runs parameter p of the goldens and compares where they hold values.
void expect_torch_steps(const nlohmann::json& golden, size_t p, DType dtype) {
  const std::unique_ptr<UpdateRule> rule = make_update_rule(options_of(golden));
  const Shape shape(goldens()["shapes"][p].get<std::vector<std::int64_t>>());
  ParameterRun run(*rule, {.shape = shape, .dtype = dtype},
                   goldens()["weights"][p].get<std::vector<float>>());
  const nlohmann::json& rates = golden["lr"];
  int compared = 0;
  for (size_t step = 0; step < rates.size(); ++step) {
    run.update(goldens()["gradients"][step][p].get<std::vector<float>>(), rates[step]);
    const auto after = golden["after"].find(std::to_string(step + 1));
    if (after == golden["after"].end()) continue;
    EXPECT_LE(relative_error(run.masters(), (*after)[p].get<std::vector<double>>()), 1e-6)
        << golden["name"] << golden["options"] << " shape " << to_string(shape) << " after "
        << step + 1;
    ++compared;
  }
  EXPECT_EQ(compared, 2);
}

TEST(Golden, TenStepsEqualTorch) {
  ASSERT_EQ(goldens()["optimizers"].size(), 7u);
  for_each_isa([] {
    for (const nlohmann::json& golden : goldens()["optimizers"])
      for (size_t p = 0; p < goldens()["shapes"].size(); ++p)
        for (DType dtype : {DType::f32, DType::bf16}) expect_torch_steps(golden, p, dtype);
  });
}

TEST(Golden, SchedulesEqualTransformers) {
  ASSERT_EQ(goldens()["schedules"].size(), 16u);
  for (const nlohmann::json& golden : goldens()["schedules"]) {
    const nlohmann::json& given = golden["options"];
    const ScheduleOptions options{.name = given["name"],
                                  .warmup_steps = given["warmup_steps"],
                                  .min_lr_ratio = given.value("min_lr_ratio", 0.0),
                                  .decay_fraction = given.value("decay_fraction", 0.0),
                                  .decay = given.value("decay", "linear")};
    check(options);
    const std::vector<double> rates = golden["lr"];
    ASSERT_EQ(rates.size(), golden["total_steps"]);
    const double peak = golden["peak"];
    for (size_t i = 0; i < rates.size(); ++i)
      EXPECT_NEAR(
          learning_rate(options, peak, static_cast<std::int64_t>(i) + 1, golden["total_steps"]),
          rates[i], 1e-15 * peak)
          << given << " update " << i + 1;
  }
}

TEST(Golden, ClippingEqualsTorch) {
  ASSERT_EQ(goldens()["clips"].size(), 5u);
  for (const nlohmann::json& golden : goldens()["clips"]) {
    double squares = 0;
    for (const nlohmann::json& gradient : golden["gradients"]) {
      const std::vector<float> g = gradient;
      squares += sum_of_squares(g.data(), static_cast<std::int64_t>(g.size()));
    }
    const double norm = std::sqrt(squares);
    EXPECT_NEAR(norm, golden["norm"], 1e-6 * norm);
    double scale = -1;
    ASSERT_TRUE(clip_scale(norm, golden["max_norm"], &scale).ok());
    for (size_t i = 0; i < golden["gradients"].size(); ++i)
      for (size_t j = 0; j < golden["gradients"][i].size(); ++j) {
        const double expected = golden["clipped"][i][j];
        EXPECT_NEAR(scale * golden["gradients"][i][j].get<double>(), expected,
                    1e-6 * std::abs(expected));
      }
  }
}

}  // namespace
}  // namespace outsize
