// Every byte a step uses is placed at plan time: from the first step on nothing of tensor size is
// allocated, by the engine or by any library under it.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "backends/cpu/matmul.h"
#include "core/rng.h"
#include "models/allocation_counter.h"
#include "train/engine.h"
#include "train/generator.h"

namespace outsize::testing_models {
namespace {

// Large enough that every activation and every matrix is of tensor size.
constexpr std::int64_t kRows = 2, kLength = 160, kVocabulary = 2003;

nlohmann::json small_config(const std::string& family) {
  if (family == "gpt2")
    return {{"model_type", family}, {"n_layer", 2},       {"n_embd", 96},
            {"n_head", 6},          {"n_positions", 512}, {"vocab_size", kVocabulary}};
  return {{"model_type", family},
          {"num_hidden_layers", 2},
          {"hidden_size", 96},
          {"intermediate_size", 256},
          {"num_attention_heads", 6},
          {"num_key_value_heads", 2},
          {"head_dim", 32},
          {"vocab_size", kVocabulary},
          {"sliding_window", 48},
          {"sliding_window_pattern", 2},
          {"use_sliding_window", true},
          {"max_window_layers", 1},
          {"rms_norm_eps", 1e-6},
          {"max_position_embeddings", 512}};
}

Batch random_batch() {
  const Rng rng(7, 0);
  Batch batch;
  for (std::int64_t i = 0; i < kRows * kLength; ++i) {
    const auto draw = static_cast<std::uint64_t>(2 * i);
    batch.tokens.push_back(static_cast<std::int32_t>(rng.below(draw, kVocabulary)));
    batch.targets.push_back(static_cast<std::int32_t>(rng.below(draw + 1, kVocabulary)));
    batch.positions.push_back(static_cast<std::int32_t>(i % kLength));
    batch.document_start.push_back(static_cast<std::int32_t>(i / kLength * kLength));
  }
  batch.target_tokens = batch.real_tokens = kRows * kLength;
  return batch;
}

struct Case {
  std::string family;
  DType dtype;
  std::string optimizer;
};

// On processors with tile registers oneDNN compiles, with the first product of a process, what sets
// them up: twice 256 KiB of code, which is not what is counted here.
void run_first_product() {
  const MatmulSpec spec{.m = 64, .n = 64, .k = 64, .operand = DType::bf16, .result = DType::f32};
  if (matmul_unsupported(spec)) return;
  const Matmul product(spec);
  constexpr std::int64_t kOperandBytes = 64 * 64 * 2;
  const HostArena operands(4 * kOperandBytes), workspace(product.workspace_bytes() + 1);
  char* a = operands.data();
  EXPECT_TRUE(
      product.run(a, a + kOperandBytes, nullptr, a + 2 * kOperandBytes, workspace.data()).ok());
}

class AllocationTest : public testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() { run_first_product(); }
  void SetUp() override {
    if (!kCountsAllocations) GTEST_SKIP() << "the sanitizer has its own allocator";
    model_ = model_from_hf_config(small_config(GetParam().family), "config.json");
  }
  std::unique_ptr<Model> model_;
};

TEST(AllocationCounterTest, SeesWhatIsAllocated) {
  if (!kCountsAllocations) GTEST_SKIP() << "the sanitizer has its own allocator";
  const AllocationCounter counter;
  EXPECT_EQ(counter.count(), 0);
  const std::vector<char> small(AllocationCounter::kTensorSized - 1);
  EXPECT_EQ(counter.count(), 0);
  EXPECT_EQ(counter.largest(), small.size());
  const std::vector<char> large(AllocationCounter::kTensorSized);
  void* aligned = nullptr;
  EXPECT_EQ(posix_memalign(&aligned, 64, 1 << 20), 0);
  free(aligned);
  const HostArena arena(1 << 16);
  EXPECT_EQ(counter.count(), 3);
  EXPECT_GE(counter.largest(), std::size_t{1} << 20);
}

TEST_P(AllocationTest, NothingFromTheFirstStepOn) {
  OptimizerOptions optimizer;
  optimizer.name = GetParam().optimizer;
  optimizer.momentum = 0.9;
  TrainingEngine engine(*model_, {kRows, kLength, 2, GetParam().dtype, true}, optimizer, 0);
  engine.allocate();
  engine.randomise(1);
  const std::vector<Batch> batches(2, random_batch());
  EvaluationTotals totals;
  const AllocationCounter counter;
  for (int step = 1; step <= 2; ++step) {
    engine.step(batches, 2 * batches[0].target_tokens, {.step = step, .lr = 1e-3, .clip = 1.0});
    engine.evaluate(batches[0], totals);
  }
  EXPECT_EQ(counter.count(), 0) << "the largest takes " << counter.largest() << " bytes";
  EXPECT_EQ(counter.onednn_count(), 0);
}

TEST_P(AllocationTest, NothingWhileGenerating) {
  class Zeros : public WeightReader {
    void read(const WeightSource&, const Shape& shape, std::int64_t, std::int64_t rows,
              float* destination) const override {
      std::fill_n(destination, rows * column_count(shape), 0.01f);
    }
    void check(const WeightSource&, const Shape&) const override {}
  };
  Generator generator(*model_, {.context = 400, .dtype = GetParam().dtype}, {});
  generator.load(std::make_shared<Zeros>());
  const std::vector<std::int32_t> prompt = random_batch().tokens;
  double sum = 0;
  auto take = [&](std::int64_t, std::int64_t, const float* logits) {
    sum += static_cast<double>(logits[0]);
  };
  const AllocationCounter counter;
  generator.append(prompt, take);
  for (std::int32_t token : {1, 2, 3}) generator.append({&token, 1}, take);
  EXPECT_EQ(counter.count(), 0) << "the largest takes " << counter.largest() << " bytes";
  EXPECT_EQ(counter.onednn_count(), 0);
  EXPECT_TRUE(std::isfinite(sum));
}

INSTANTIATE_TEST_SUITE_P(
    All, AllocationTest,
    testing::Values(Case{"gpt2", DType::f32, "adamw"}, Case{"gpt2", DType::bf16, "sgd"},
                    Case{"llama", DType::f32, "adafactor"}, Case{"llama", DType::bf16, "adamw"},
                    Case{"qwen2", DType::bf16, "adafactor"}, Case{"gemma3_text", DType::f32, "sgd"},
                    Case{"gemma3_text", DType::bf16, "adamw"}),
    [](const auto& instance) {
      const Case& c = instance.param;
      return c.family + "_" + name_of(c.dtype) + "_" + c.optimizer;
    });

}  // namespace
}  // namespace outsize::testing_models
