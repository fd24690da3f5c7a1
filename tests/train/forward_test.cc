// Evaluation and generation under budgets that their weights exceed: the bits of staying in RAM,
// within the budget, and nothing left on the disk.
#include "train/forward_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "storage/real_disk.h"
#include "train/counting_disk.h"
#include "train/engine.h"
#include "train/generator.h"
#include "train/random_reader.h"
#include "train/show_plan.h"
#include "train/tiny.h"

namespace outsize::train_test {
namespace {

constexpr std::int64_t kRows = 2, kLength = 32;

// Wide enough that padding to pages does not eat what streaming saves.
std::unique_ptr<Model> wide_model(const std::string& family) {
  nlohmann::json config = nlohmann::json::parse(tiny_config(family));
  if (family == "gpt2") {
    config["n_embd"] = 96;
    config["n_layer"] = 4;
  } else {
    config["hidden_size"] = 96;
    config["intermediate_size"] = 256;
    config["num_hidden_layers"] = 4;
  }
  if (family == "gemma3_text")
    config["layer_types"] = {"sliding_attention", "full_attention", "sliding_attention",
                             "full_attention"};
  return model_from_hf_config(config, "wide config.json");
}

class Forward : public ::testing::TestWithParam<std::tuple<const char*, DType>> {
 protected:
  // Losses of two batches.
  std::vector<double> losses(EvaluationEngine& engine) const {
    engine.load(RandomReader());
    std::vector<double> list;
    for (std::uint64_t seed : {1, 2}) {
      EvaluationTotals totals;
      engine.evaluate(random_batch(kRows, kLength, kVocabulary, seed), totals);
      list.push_back(totals.loss_sum);
    }
    return list;
  }

  // Of a prompt in chunks, and token by token after it.
  std::vector<float> logits(Generator& generator) const {
    generator.load(std::make_shared<RandomReader>());
    std::vector<float> list;
    const auto take = [&](std::int64_t, std::int64_t count, const float* values) {
      list.insert(list.end(), values, values + count * generator.vocabulary());
    };
    const auto tokens = random_batch(1, 60, kVocabulary, 9).tokens;
    generator.append(std::span(tokens).first(57), take);
    for (size_t i = 57; i < 60; ++i) generator.append({&tokens[i], 1}, take);
    return list;
  }

  // Budgets from the smallest that plans to one byte less than everything wants.
  std::vector<std::int64_t> budgets(std::int64_t smallest, std::int64_t all) const {
    return {smallest, smallest + (all - smallest) / 3, smallest + (all - smallest) * 2 / 3,
            all - 1};
  }

  std::unique_ptr<Model> model_ = wide_model(std::get<0>(GetParam()));
  DType dtype_ = std::get<1>(GetParam());
  TemporaryFolder temporary_;
  std::string folder_ = temporary_.path(".");
};

// By bisection; `fits` tries a budget.
template <class Fits>
std::int64_t smallest_budget(std::int64_t all, Fits fits) {
  std::int64_t low = 0, high = all;
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    try {
      fits(middle);
      high = middle;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory) << error.what();
      low = middle;
    }
  }
  return high;
}

TEST_P(Forward, EvaluationHasTheBitsOfStayingInRam) {
  const auto plan = [&](std::int64_t budget) {
    return std::make_unique<EvaluationEngine>(
        *model_, kRows, kLength, dtype_, ForwardOptions{.budget_bytes = budget, .folder = folder_});
  };
  const auto resident = plan(0);
  EXPECT_EQ(resident->engine().streamed_bytes(), 0);
  const auto expected = losses(*resident);
  const std::int64_t all = resident->engine().arena_bytes();
  for (const std::int64_t budget : budgets(smallest_budget(all, plan), all)) {
    const auto engine = plan(budget);
    EXPECT_GT(engine->engine().streamed_bytes(), 0);
    EXPECT_GE(engine->engine().read_bytes(), engine->engine().streamed_bytes());
    EXPECT_LE(engine->engine().arena_bytes(), budget);
    EXPECT_TRUE(std::filesystem::is_empty(folder_)) << "the file still has a name";
    EXPECT_EQ(losses(*engine), expected) << budget;
  }
}

TEST_P(Forward, GenerationHasTheBitsOfStayingInRam) {
  for (const bool all_logits : {false, true}) {
    const auto plan = [&](std::int64_t budget) {
      return std::make_unique<Generator>(*model_, GeneratorShape{64, dtype_, all_logits},
                                         ForwardOptions{.budget_bytes = budget, .folder = folder_});
    };
    const auto resident = plan(0);
    const auto expected = logits(*resident);
    const std::int64_t all = resident->arena_bytes();
    const std::int64_t smallest = smallest_budget(all, plan);
    EXPECT_GT(plan(smallest)->engine().streamed_bytes(), 0);
    EXPECT_FALSE(resident->looks_up_rows());
    for (const std::int64_t budget : budgets(smallest, all)) {
      const auto generator = plan(budget);
      EXPECT_TRUE(generator->looks_up_rows());
      EXPECT_LE(generator->arena_bytes(), budget);
      EXPECT_TRUE(logits(*generator) == expected) << budget;
    }
  }
}

// What a forecast counts is what the disk is asked for.
TEST_P(Forward, ReadsTheBytesItSays) {
  const auto disk = make_real_disk();
  CountingDisk counting(*disk);
  const auto plan = [&](std::int64_t budget) {
    return std::make_unique<Generator>(
        *model_, GeneratorShape{64, dtype_, false},
        ForwardOptions{.budget_bytes = budget, .folder = folder_, .disk = &counting});
  };
  const std::int64_t all = plan(0)->arena_bytes();
  for (const std::int64_t budget : budgets(smallest_budget(all, plan), all)) {
    const auto generator = plan(budget);
    generator->load(std::make_shared<RandomReader>());
    for (const std::int32_t token : {3, 7}) {
      const std::int64_t before = counting.read_bytes();
      generator->append({&token, 1}, [](std::int64_t, std::int64_t, const float*) {});
      EXPECT_EQ(counting.read_bytes() - before, generator->engine().read_bytes()) << budget;
    }
    // No weight is read twice for a token, not even a table that its rows and the head share.
    EXPECT_EQ(generator->engine().read_bytes(), generator->engine().streamed_bytes()) << budget;
  }
}

// One read brings a call's weights: each read alone would wait for the disk.
TEST_P(Forward, ReadsEachCallAtOnce) {
  const auto plan = [&](std::int64_t budget) {
    return std::make_unique<Generator>(*model_, GeneratorShape{64, dtype_, false},
                                       ForwardOptions{.budget_bytes = budget, .folder = folder_});
  };
  const auto generator = plan(smallest_budget(plan(0)->arena_bytes(), plan));
  const Executor& decoder = generator->decoder();
  size_t reads = 0, calls = 0;
  for (const Task& task : decoder.plan().tasks) reads += task.kind == TaskKind::read;
  for (const Call& call : decoder.program().calls)
    calls += std::any_of(call.parameters.begin(), call.parameters.end(),
                         [&](int p) { return decoder.plan().weights[static_cast<size_t>(p)] < 0; });
  EXPECT_GT(reads, 0u);
  EXPECT_EQ(reads, calls);
}

INSTANTIATE_TEST_SUITE_P(Families, Forward,
                         ::testing::Combine(::testing::ValuesIn(kFamilies),
                                            ::testing::Values(DType::f32, DType::bf16)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_" +
                                  name_of(std::get<1>(info.param));
                         });

TEST(ForwardEngine, NamesTheSmallestBudget) {
  const auto model = wide_model("llama");
  const TemporaryFolder folder;
  const auto plan = [&](std::int64_t budget) {
    return EvaluationEngine(*model, kRows, kLength, DType::f32,
                            {.budget_bytes = budget, .folder = folder.path(".")});
  };
  try {
    plan(4096);
    FAIL() << "planned";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory);
    const std::string text = error.what(), try_it = "try --memory ";
    ASSERT_THAT(text, ::testing::HasSubstr(try_it));
    const std::int64_t named = std::stoll(text.substr(text.find(try_it) + try_it.size())) << 20;
    EXPECT_NO_THROW(plan(named - kProcessBytes));
  }
}

TEST(ForwardEngine, NamesTheFolderThatIsNotThere) {
  const auto model = tiny_model("llama");
  EvaluationEngine resident(*model, kRows, kLength, DType::f32, {});
  try {
    EvaluationEngine(*model, kRows, kLength, DType::f32,
                     {.budget_bytes = resident.engine().arena_bytes() - 1, .folder = "/nowhere"});
    FAIL() << "planned";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Io);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("/nowhere"));
  }
}

}  // namespace
}  // namespace outsize::train_test
