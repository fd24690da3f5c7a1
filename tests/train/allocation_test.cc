// After its first step a run takes no tensor-sized memory any more: everything was planned.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "config/load.h"
#include "train/allocations.h"
#include "train/engine.h"
#include "train/generator.h"
#include "train/run.h"
#include "train/tiny.h"

namespace outsize::train_test {
namespace {

void expect_none(const Allocations& allocations) {
  EXPECT_EQ(allocations.count, 0) << allocations.report;
}

#define SKIP_IF_NOT_COUNTING() \
  if (!can_count_allocations()) GTEST_SKIP() << "the sanitizer has its own allocator"

TEST(Allocations, TheCounterCounts) {
  SKIP_IF_NOT_COUNTING();
  void* volatile taken = nullptr;  // or the compiler leaves it out
  start_counting();
  // tidy: allow banned: to see it counted
  taken = std::malloc(kLargeBytes - 1);
  std::free(taken);
  expect_none(stop_counting());
  start_counting();
  // tidy: allow banned: to see it counted
  taken = std::calloc(2, kLargeBytes / 2);
  std::free(taken);
  taken = ::operator new(kLargeBytes);
  ::operator delete(taken);
  std::thread([&] {
    taken = std::aligned_alloc(64, kLargeBytes);
    std::free(taken);
  }).join();
  const Allocations seen = stop_counting();
  EXPECT_GE(seen.count, 3);  // the thread's stack may be one too
  EXPECT_NE(seen.report.find("16384 bytes"), std::string::npos) << seen.report;
}

void count_engine_steps(const Model& model, const TrainingShape& shape,
                        const OptimizerOptions& optimizer) {
  TrainingEngine engine(model, shape, optimizer, 0);
  engine.allocate();
  engine.randomise(1);
  std::vector<Batch> batches;
  std::int64_t targets = 0;
  for (int m = 0; m < shape.accumulation; ++m) {
    batches.push_back(random_batch(shape.rows, shape.sequence_length, model.info().vocabulary,
                                   static_cast<std::uint64_t>(m)));
    targets += batches.back().target_tokens;
  }
  EvaluationTotals totals;
  engine.step(batches, targets, {.step = 1, .lr = 1e-3, .clip = 1.0});
  start_counting();
  for (std::int64_t step = 2; step <= 4; ++step) {
    engine.step(batches, targets, {.step = step, .lr = 1e-3, .clip = 1.0});
    if (shape.with_evaluation) engine.evaluate(batches.front(), totals);
  }
  expect_none(stop_counting());
}

class AllocationsOf : public ::testing::TestWithParam<std::tuple<const char*, DType>> {};

TEST_P(AllocationsOf, StepsAndEvaluationsTakeNone) {
  SKIP_IF_NOT_COUNTING();
  const auto [family, dtype] = GetParam();
  const auto model = tiny_model(family);
  for (const char* optimizer : {"adamw", "sgd", "adafactor"}) {
    SCOPED_TRACE(optimizer);
    count_engine_steps(*model, {2, 96, 2, dtype, true}, {.name = optimizer, .momentum = 0.9});
  }
}

TEST_P(AllocationsOf, GeneratedTokensTakeNone) {
  SKIP_IF_NOT_COUNTING();
  const auto [family, dtype] = GetParam();
  const auto model = tiny_model(family);
  Generator generator(*model, {kContext - 8, dtype, false}, {});
  const Batch text = random_batch(1, kContext - 8, kVocabulary, 3);
  const auto take = [](std::int64_t, std::int64_t, const float*) {};
  const std::span<const std::int32_t> tokens(text.tokens);
  generator.append(tokens.first(17), take);
  start_counting();
  generator.append(tokens.subspan(17, 270), take);
  generator.append(tokens.subspan(287, 1), take);
  expect_none(stop_counting());
}

INSTANTIATE_TEST_SUITE_P(Families, AllocationsOf,
                         ::testing::Combine(::testing::ValuesIn(kFamilies),
                                            ::testing::Values(DType::f32, DType::bf16)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_" +
                                  name_of(std::get<1>(info.param));
                         });

TEST(Allocations, AMiddleSizedModelTakesNone) {
  SKIP_IF_NOT_COUNTING();
  const auto model = model_from_hf_config({{"model_type", "gpt2"},
                                           {"n_embd", 256},
                                           {"n_layer", 3},
                                           {"n_head", 4},
                                           {"n_positions", 256},
                                           {"vocab_size", 5000}},
                                          "middle config.json");
  for (DType dtype : {DType::f32, DType::bf16}) {
    SCOPED_TRACE(name_of(dtype));
    count_engine_steps(*model, {4, 256, 2, dtype, true}, {.name = "adamw"});
  }
}

TEST(Allocations, AWholeRunTakesNoneBetweenItsSaves) {
  SKIP_IF_NOT_COUNTING();
  const TemporaryFolder folder;
  folder.write("model/config.json", tiny_config("qwen2"));
  folder.write("model/tokenizer.json", byte_tokenizer());
  std::string text;
  for (int i = 0; i < 9000; ++i) text += fmt::format("{{\"text\": \"the {} of {}\"}}\n", i * i, i);
  folder.write("train.jsonl", text);
  folder.write("valid.jsonl", text.substr(0, text.find('\n', 20000) + 1));
  // Rows times tokens: vectors of the batch are larger than what counts as large.
  const RunConfig config = parse_config(
      fmt::format(
          "model: {0}/model\ninit: random\nrun: {0}/run\n"
          "data: {{train: {0}/train.jsonl, validation: {0}/valid.jsonl, sequence_length: 256, "
          "long_samples: split}}\n"
          "train: {{steps: 6, global_batch: 40, microbatch: 20, dtype: f32, eval_every: 2}}\n",
          folder.path("")),
      "test.yaml");
  count_between_writes("{\"step\": 1, \"loss\"", "{\"step\": 6, \"loss\"");
  EXPECT_EQ(run_training(config).steps, 6);
  expect_none(stop_counting());
}

}  // namespace
}  // namespace outsize::train_test
