// Every family against what exact arithmetic makes of its golden: logits, loss, every gradient and
// ten AdamW steps, in f32 and bf16; and what must not change them: repetition, recomputation,
// accumulation, kernels.
#include <gtest/gtest.h>

#include <cmath>

#include "models/golden_case.h"
#include "models/training.h"
#include "train/engine.h"
#include "train/generator.h"

namespace outsize::testing_models {
namespace {

// Relative, by norm; what f32 is promised to reach (docs/NUMERICS.md).
constexpr double kLogits = 2e-5, kLoss = 1e-6, kGradient = 1e-4, kTenSteps = 1e-5;
// Of the norm of all gradients: how large rounding may make one that is zero.
constexpr double kVanishingF32 = 1e-6, kVanishingBf16 = 1.0 / 256;

class GoldenTest : public testing::TestWithParam<std::string> {
 protected:
  GoldenTest() : golden_(GetParam()) {}

  void expect_f32(const Trained& got) const;
  void expect_bf16(const Trained& got) const;
  void expect_vanishing(const Trained& got, double share) const;
  void expect_names(const Trained& got) const;
  std::vector<float> logits(DType dtype, std::int64_t piece) const;

  Golden golden_;
};

void GoldenTest::expect_names(const Trained& got) const {
  ASSERT_FALSE(golden_.first_gradients.empty());
  ASSERT_EQ(got.first_gradients.size(), golden_.first_gradients.size());
  ASSERT_EQ(got.last_weights.size(), golden_.last_weights.size());
  ASSERT_EQ(got.losses.size(), golden_.losses.size());
}

// AdamW makes steps of rounding where a gradient is zero: none is longer than lr.
void GoldenTest::expect_vanishing(const Trained& got, double share) const {
  for (const std::string& name : golden_.vanishing) {
    EXPECT_LE(norm(got.first_gradients.at(name)), share * golden_.norms[0]) << name;
    const auto &weight = got.last_weights.at(name), &expected = golden_.last_weights.at(name);
    for (size_t i = 0; i < weight.size(); ++i)
      EXPECT_LE(std::abs(weight[i] - expected[i]), 1.001 * golden_.steps * golden_.lr) << name;
  }
}

void GoldenTest::expect_f32(const Trained& got) const {
  expect_names(got);
  EXPECT_NEAR(got.losses[0], golden_.losses[0], kLoss * golden_.losses[0]);
  EXPECT_NEAR(got.norms[0], golden_.norms[0], kGradient * golden_.norms[0]);
  for (size_t s = 0; s < got.losses.size(); ++s)
    EXPECT_NEAR(got.losses[s], golden_.losses[s], kTenSteps * golden_.losses[s]) << "step " << s;
  expect_vanishing(got, kVanishingF32);
  for (const auto& [name, expected] : golden_.first_gradients) {
    if (golden_.vanishing.contains(name)) continue;
    EXPECT_LE(error_norm(got.first_gradients.at(name), expected), kGradient * norm(expected))
        << "gradient of " << name;
  }
  for (const auto& [name, expected] : golden_.last_weights) {
    if (golden_.vanishing.contains(name)) continue;
    EXPECT_LE(error_norm(got.last_weights.at(name), expected), kTenSteps * norm(expected)) << name;
  }
}

void GoldenTest::expect_bf16(const Trained& got) const {
  expect_names(got);
  EXPECT_NEAR(got.losses[0], golden_.losses[0], golden_.bf16.loss);
  expect_vanishing(got, kVanishingBf16);
  auto compare = [&](const Tensors& tensors, const Tensors& expected,
                     const std::map<std::string, double>& allowed) {
    std::map<std::string, double> squares;
    for (const auto& [name, values] : expected)
      if (!golden_.vanishing.contains(name))
        squares[kind_of(name)] += std::pow(error_norm(tensors.at(name), values), 2);
    for (const auto& [kind, square] : squares)
      EXPECT_LE(std::sqrt(square), allowed.at(kind)) << kind;
  };
  compare(got.first_gradients, golden_.first_gradients, golden_.bf16.gradients);
  compare(got.last_weights, golden_.last_weights, golden_.bf16.weights);
  // Falling as the exact run falls.
  EXPECT_NEAR(got.losses.back(), golden_.losses.back(), 0.02 * golden_.losses.back());
}

// Of the prompt, taken in pieces of `piece` tokens.
std::vector<float> GoldenTest::logits(DType dtype, std::int64_t piece) const {
  const auto count = static_cast<std::int64_t>(golden_.prompt.size());
  Generator generator(*golden_.model, {.context = count, .dtype = dtype, .all_logits = true}, {});
  generator.load(golden_.weights);
  std::vector<float> all;
  for (std::int64_t first = 0; first < count; first += piece) {
    const auto tokens = std::span(golden_.prompt)
                            .subspan(static_cast<size_t>(first),
                                     static_cast<size_t>(std::min(piece, count - first)));
    generator.append(tokens, [&](std::int64_t, std::int64_t rows, const float* values) {
      all.insert(all.end(), values, values + rows * generator.vocabulary());
    });
  }
  return all;
}

TEST_P(GoldenTest, LogitsInF32) {
  for (std::int64_t piece : {std::int64_t{1}, std::int64_t{7}, golden_.length})
    EXPECT_LE(error_norm(logits(DType::f32, piece), golden_.logits), kLogits * norm(golden_.logits))
        << "in pieces of " << piece;
}

TEST_P(GoldenTest, LogitsInBf16) {
  for (std::int64_t piece : {std::int64_t{1}, golden_.length})
    EXPECT_LE(error_norm(logits(DType::bf16, piece), golden_.logits), golden_.bf16.logits)
        << "in pieces of " << piece;
}

TEST_P(GoldenTest, LossGradientsAndTenStepsInF32) {
  expect_f32(train_with_engine(golden_, DType::f32));
}

TEST_P(GoldenTest, LossGradientsAndTenStepsInBf16) {
  expect_bf16(train_with_engine(golden_, DType::bf16));
}

TEST_P(GoldenTest, SameBitsAgain) {
  for (DType dtype : {DType::f32, DType::bf16})
    EXPECT_EQ(train_with_engine(golden_, dtype), train_with_engine(golden_, dtype));
}

TEST_P(GoldenTest, RecomputationChangesNoBit) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    const Trained kept = train_with_options(golden_, dtype, {.training = true});
    EXPECT_EQ(kept, train_with_engine(golden_, dtype)) << "the engine does the same";
    for (const Recompute level : {Recompute::cheap, Recompute::everything})
      EXPECT_EQ(kept,
                train_with_options(golden_, dtype, {.training = true, .recompute = true}, level));
  }
}

TEST_P(GoldenTest, ReferenceKernelsAgree) {
  const CompileOptions options{.training = true, .kernels = KernelChoice::reference};
  expect_f32(train_with_options(golden_, DType::f32, options));
  expect_bf16(train_with_options(golden_, DType::bf16, options));
}

TEST_P(GoldenTest, AccumulationAgrees) {
  expect_f32(train_with_engine(golden_, DType::f32, true));
  expect_bf16(train_with_engine(golden_, DType::bf16, true));
}

TEST_P(GoldenTest, EvaluationIsTrainingsForward) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    TrainingEngine engine(*golden_.model, {golden_.rows, golden_.length, 1, dtype, true},
                          golden_.optimizer, 0);
    engine.allocate();
    engine.load(*golden_.weights);
    EvaluationTotals within, alone;
    engine.evaluate(golden_.batch, within);
    EvaluationEngine evaluation(*golden_.model, golden_.rows, golden_.length, dtype, {});
    evaluation.load(*golden_.weights);
    evaluation.evaluate(golden_.batch, alone);
    EXPECT_EQ(within.target_tokens, golden_.batch.target_tokens);
    EXPECT_EQ(within.loss_sum, alone.loss_sum);
    const double targets = static_cast<double>(golden_.batch.target_tokens);
    const double allowed = dtype == DType::f32 ? kLoss * golden_.losses[0] : golden_.bf16.loss;
    EXPECT_NEAR(within.loss_sum / targets, golden_.losses[0], allowed);
    // Validation leaves nothing behind: training goes on as without it.
    const Trained plain = train_with_engine(golden_, dtype);
    const std::vector<Batch> batches{golden_.batch};
    for (int s = 1; s <= golden_.steps; ++s) {
      engine.evaluate(golden_.batch, within);
      EXPECT_EQ(engine.step(batches, golden_.batch.target_tokens,
                            {.step = s, .lr = golden_.lr, .clip = golden_.clip}),
                plain.losses[static_cast<size_t>(s - 1)]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, GoldenTest, testing::ValuesIn(golden_families()),
                         [](const auto& family) { return family.param; });

}  // namespace
}  // namespace outsize::testing_models
