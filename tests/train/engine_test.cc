// The training and evaluation engines: planned before anything is taken, weights where both look
// for them, the loss per target token of the global batch.
#include "train/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "core/error.h"
#include "core/half.h"
#include "train/tiny.h"

namespace outsize::train_test {
namespace {

using ::testing::HasSubstr;

TrainingEngine made(const Model& model, const TrainingShape& shape, std::uint64_t seed = 1,
                    const std::string& optimizer = "adamw") {
  TrainingEngine engine(model, shape, {.name = optimizer}, 0);
  engine.allocate();
  engine.randomise(seed);
  return engine;
}

std::string bytes_of(const NamedMemory& memory) {
  return {static_cast<const char*>(memory.data),
          static_cast<size_t>(memory.shape.numel() * size_of(memory.dtype))};
}

std::string state_of(const TrainingEngine& engine) {
  std::string bytes;
  for (const NamedMemory& memory : engine.state()) bytes += memory.name + bytes_of(memory);
  return bytes;
}

template <class F>
Error error_of(F f) {
  try {
    f();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorKind::Internal, "");
}

class EveryEngine : public ::testing::TestWithParam<std::tuple<const char*, DType>> {
 protected:
  std::unique_ptr<Model> model_ = tiny_model(std::get<0>(GetParam()));
  DType dtype_ = std::get<1>(GetParam());
};

TEST_P(EveryEngine, OverfitsOneBatch) {
  TrainingEngine engine = made(*model_, {2, 32, 1, dtype_, false});
  const Batch batch = random_batch(2, 32, kVocabulary, 1);
  const StepArgs args{.step = 1, .lr = 1e-2, .clip = 1.0};
  const double first = engine.step({&batch, 1}, batch.target_tokens, args);
  EXPECT_NEAR(first, std::log(static_cast<double>(kVocabulary)), 0.6);
  double last = first;
  for (std::int64_t step = 2; step <= 40; ++step)
    last = engine.step({&batch, 1}, batch.target_tokens, {.step = step, .lr = 1e-2, .clip = 1.0});
  EXPECT_LT(last, first / 2);
}

TEST_P(EveryEngine, ValidationReadsWhatTrainingWrites) {
  const TrainingShape shape{2, 32, 2, dtype_, true};
  TrainingEngine engine = made(*model_, shape);
  const Batch one = random_batch(2, 32, kVocabulary, 1), two = random_batch(2, 32, kVocabulary, 2);
  const Batch batches[] = {one, two};
  const std::int64_t targets = one.target_tokens + two.target_tokens;
  for (std::int64_t step = 1; step <= 3; ++step) {
    const std::string before = state_of(engine);
    EvaluationTotals totals;
    engine.evaluate(one, totals);
    engine.evaluate(two, totals);
    EXPECT_TRUE(state_of(engine) == before) << "evaluation changed the state";
    EXPECT_EQ(totals.target_tokens, targets);
    const double loss = engine.step(batches, targets, {.step = step, .lr = 1e-2, .clip = 1.0});
    const double tolerance = dtype_ == DType::f32 ? 1e-6 : 2e-3;
    EXPECT_NEAR(totals.loss_sum / static_cast<double>(targets), loss, tolerance * loss);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, EveryEngine,
                         ::testing::Combine(::testing::ValuesIn(kFamilies),
                                            ::testing::Values(DType::f32, DType::bf16)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_" +
                                  name_of(std::get<1>(info.param));
                         });

TEST(TrainingEngine, SplittingTheGlobalBatchKeepsTheLoss) {
  const auto model = tiny_model("llama");
  const Batch whole = random_batch(4, 32, kVocabulary, 1);
  std::vector<double> losses, norms;
  for (std::int64_t rows : {4, 2, 1}) {
    TrainingEngine engine = made(*model, {rows, 32, static_cast<int>(4 / rows), DType::f32, false});
    std::vector<Batch> parts;
    for (std::int64_t first = 0; first < 4; first += rows) {
      Batch part;
      for (std::int64_t i = first * 32; i < (first + rows) * 32; ++i) {
        const auto at = static_cast<size_t>(i);
        part.tokens.push_back(whole.tokens[at]);
        part.positions.push_back(whole.positions[at]);
        part.targets.push_back(whole.targets[at]);
        part.document_start.push_back(whole.document_start[at] -
                                      static_cast<std::int32_t>(first * 32));
        part.target_tokens += whole.targets[at] >= 0;
      }
      parts.push_back(part);
    }
    losses.push_back(engine.step(parts, whole.target_tokens, {.step = 1, .lr = 0}));
    norms.push_back(engine.gradient_norm());
  }
  for (size_t i = 1; i < losses.size(); ++i) {
    EXPECT_NEAR(losses[i], losses[0], 1e-6 * losses[0]);
    EXPECT_NEAR(norms[i], norms[0], 1e-5 * norms[0]);
  }
}

TEST(TrainingEngine, SeedsDecideTheWeights) {
  const auto model = tiny_model("gpt2");
  const TrainingShape shape{1, 16, 1, DType::f32, false};
  EXPECT_TRUE(state_of(made(*model, shape, 4)) == state_of(made(*model, shape, 4)));
  EXPECT_FALSE(state_of(made(*model, shape, 4)) == state_of(made(*model, shape, 5)));
}

TEST(TrainingEngine, BfloatWeightsAreTheHighHalvesOfTheSameMasters) {
  const auto model = tiny_model("qwen2");
  const TrainingEngine wide = made(*model, {1, 16, 1, DType::f32, false}),
                       narrow = made(*model, {1, 16, 1, DType::bf16, false});
  const auto wide_state = wide.state(), narrow_state = narrow.state();
  std::set<std::string> names;
  for (const NamedMemory& memory : narrow_state) names.insert(memory.name);
  EXPECT_EQ(names.size(), narrow_state.size()) << "a name stands twice";
  EXPECT_TRUE(names.count("model.layers.1.mlp.up_proj.weight:master_low"));
  EXPECT_FALSE(names.count("model.norm.weight:master_low")) << "norms are f32 anyway";
  for (const NamedMemory& memory : wide_state) {
    if (memory.name != "model.layers.1.mlp.up_proj.weight") continue;
    for (const NamedMemory& other : narrow_state) {
      if (other.name != memory.name) continue;
      for (std::int64_t i = 0; i < memory.shape.numel(); ++i)
        EXPECT_NEAR(to_f32(static_cast<const bf16*>(other.data)[i]),
                    static_cast<const float*>(memory.data)[i], 1e-2);
    }
  }
}

TEST(TrainingEngine, PlansBeforeItTakesMemory) {
  const auto model = tiny_model("gpt2");
  const TrainingShape shape{2, 64, 1, DType::f32, true};
  const TrainingEngine free(*model, shape, {}, 0);
  EXPECT_GT(free.arena_bytes(), 0);
  EXPECT_NO_THROW(TrainingEngine(*model, shape, {}, free.arena_bytes()));
  // One byte less: some calls compute again what they would have kept.
  const TrainingEngine tight(*model, shape, {}, free.plan().arena_bytes - 1);
  EXPECT_LT(tight.arena_bytes(), free.arena_bytes());
  EXPECT_FALSE(tight.durable());
  const Error error =
      error_of([&] { TrainingEngine(*model, shape, {}, free.plan().arena_bytes / 4); });
  EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory);
  EXPECT_THAT(error.what(), HasSubstr("try"));
  EXPECT_THROW(EvaluationEngine(*model, 2, 64, DType::f32, {.budget_bytes = 1 << 10}), Error);
}

TEST(TrainingEngine, CountsTheWorkOfItsTargetsAlone) {
  const auto model = tiny_model("llama");
  const TrainingEngine engine(*model, {2, 64, 2, DType::f32, false}, {}, 0);
  EXPECT_DOUBLE_EQ(engine.step_flops(256), engine.model_flops());
  // The head is 261 by 24: six FLOPs per weight and target.
  EXPECT_NEAR(engine.model_flops() - engine.step_flops(156), 100 * 6.0 * 261 * 24, 1.0);
}

TEST(TrainingEngine, RefusesWhatTheModelCannotDo) {
  const auto model = tiny_model("gpt2");
  const Error error = error_of([&] {
    TrainingEngine(*model, {1, kContext + 1, 1, DType::f32, false}, {}, 0);
  });
  EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
  EXPECT_THAT(error.what(), HasSubstr(std::to_string(kContext)));
  TrainingEngine engine = made(*model, {1, 8, 1, DType::f32, false});
  Batch batch = random_batch(1, 8, kVocabulary, 1);
  EXPECT_THROW(engine.step({&batch, 1}, 0, {.step = 1}), Error);
  batch.targets[3] = static_cast<std::int32_t>(kVocabulary);
  EXPECT_THROW(engine.step({&batch, 1}, 8, {.step = 1}), Error);
  batch = random_batch(1, 8, kVocabulary, 1);
  batch.tokens[2] = -1;
  EXPECT_THROW(engine.step({&batch, 1}, 8, {.step = 1}), Error);
  EXPECT_THROW(TrainingEngine(*model, {1, 8, 1, DType::f32, false}, {.name = "lion"}, 0), Error);
}

TEST(EvaluationEngine, GivesTheLossOfTheTrainingForward) {
  for (const char* family : kFamilies) {
    SCOPED_TRACE(family);
    const auto model = tiny_model(family);
    TrainingEngine engine = made(*model, {2, 32, 1, DType::f32, true});
    const Batch batch = random_batch(2, 32, kVocabulary, 1);
    EvaluationTotals totals;
    engine.evaluate(batch, totals);
    const double loss = engine.step({&batch, 1}, batch.target_tokens, {.step = 1, .lr = 0});
    EXPECT_NEAR(totals.loss_sum, loss * static_cast<double>(batch.target_tokens),
                1e-6 * totals.loss_sum);
  }
}

}  // namespace
}  // namespace outsize::train_test
