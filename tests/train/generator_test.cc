// Text over the key/value cache: the same logits in chunks, token by token and without a cache;
// draws that depend on seed and position alone.
#include "train/generator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/error.h"
#include "train/engine.h"
#include "train/random_reader.h"
#include "train/tiny.h"

namespace outsize::train_test {
namespace {

std::vector<float> logits_of(const Model& model, std::span<const std::int32_t> tokens,
                             std::int64_t piece, DType dtype = DType::f32,
                             std::int64_t context = kContext) {
  Generator generator(model, {context, dtype, /*all_logits=*/true}, {});
  generator.load(std::make_shared<RandomReader>());
  std::vector<float> all;
  std::int64_t next = 0;
  const auto count = static_cast<std::int64_t>(tokens.size());
  for (std::int64_t first = 0; first < count; first += piece) {
    const auto part = tokens.subspan(static_cast<size_t>(first),
                                     static_cast<size_t>(std::min(piece, count - first)));
    generator.append(part, [&](std::int64_t at, std::int64_t rows, const float* logits) {
      EXPECT_EQ(first + at, next);
      next += rows;
      all.insert(all.end(), logits, logits + rows * generator.vocabulary());
    });
  }
  EXPECT_EQ(generator.past(), count);
  EXPECT_EQ(next, count);
  return all;
}

void expect_close(const std::vector<float>& one, const std::vector<float>& other, double relative) {
  ASSERT_EQ(one.size(), other.size());
  ASSERT_FALSE(one.empty());
  double largest = 0, error = 0;
  for (size_t i = 0; i < one.size(); ++i) {
    ASSERT_TRUE(std::isfinite(one[i]) && std::isfinite(other[i]));
    largest = std::max(largest, static_cast<double>(std::abs(one[i])));
    error = std::max(error, static_cast<double>(std::abs(one[i] - other[i])));
  }
  EXPECT_GT(largest, 0);
  EXPECT_LE(error, relative * largest);
}

class EveryGenerator : public ::testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<Model> model_ = tiny_model(GetParam());
  std::vector<std::int32_t> tokens_ = random_batch(1, 300, kVocabulary, 9).tokens;
};

TEST_P(EveryGenerator, ChunksGiveTheLogitsOfSingleTokens) {
  const auto single = logits_of(*model_, tokens_, 1);
  for (std::int64_t piece : {300, 16, 37, 257})
    expect_close(single, logits_of(*model_, tokens_, piece), 2e-5);
  expect_close(logits_of(*model_, tokens_, 1, DType::bf16),
               logits_of(*model_, tokens_, 300, DType::bf16), 4e-2);
}

TEST_P(EveryGenerator, TheFullContextFits) {
  expect_close(logits_of(*model_, tokens_, 300, DType::f32, 300), logits_of(*model_, tokens_, 300),
               2e-5);
}

// As 1,024 tokens and 256 with padding, or in pieces of which none fills a large chunk.
TEST_P(EveryGenerator, LongPromptsGoInLargeChunks) {
  constexpr std::int64_t kLong = 1165;
  const auto model = tiny_model(GetParam(), {.context = kLong});
  const auto tokens = random_batch(1, kLong, kVocabulary, 9).tokens;
  expect_close(logits_of(*model, tokens, kLong, DType::f32, kLong),
               logits_of(*model, tokens, 100, DType::f32, kLong), 2e-5);
}

TEST_P(EveryGenerator, LogitsGiveTheLossOfEvaluation) {
  Batch batch;
  batch.tokens.assign(tokens_.begin(), tokens_.begin() + 64);
  for (std::int32_t i = 0; i < 64; ++i) {
    batch.positions.push_back(i);
    batch.document_start.push_back(0);
    batch.targets.push_back(i + 1 < 64 ? batch.tokens[static_cast<size_t>(i) + 1] : -1);
  }
  batch.target_tokens = 63;
  EvaluationEngine engine(*model_, 1, 64, DType::f32, {});
  engine.load(RandomReader());
  EvaluationTotals totals;
  engine.evaluate(batch, totals);
  const auto logits = logits_of(*model_, batch.tokens, 64);
  double nats = 0;
  for (size_t i = 0; i + 1 < 64; ++i) {
    const float* row = logits.data() + i * kVocabulary;
    double sum = 0;
    for (std::int64_t v = 0; v < kVocabulary; ++v) sum += std::exp(static_cast<double>(row[v]));
    nats += std::log(sum) - static_cast<double>(row[batch.targets[i]]);
  }
  EXPECT_NEAR(totals.loss_sum, nats, 2e-6 * nats);
}

TEST_P(EveryGenerator, ResetForgets) {
  Generator generator(*model_, {64, DType::f32, false}, {});
  generator.load(std::make_shared<RandomReader>());
  std::vector<float> first, second;
  const std::span<const std::int32_t> tokens(tokens_);
  const auto keep = [&](std::vector<float>& to) {
    return [&](std::int64_t, std::int64_t rows, const float* logits) {
      EXPECT_EQ(rows, 1);
      to.assign(logits, logits + generator.vocabulary());
    };
  };
  generator.append(tokens.first(20), keep(first));
  generator.append(tokens.subspan(100, 40), keep(second));
  generator.reset();
  EXPECT_EQ(generator.past(), 0);
  generator.append(tokens.first(20), keep(second));
  EXPECT_EQ(first, second);
}

// Chunks before the last one compute none.
TEST_P(EveryGenerator, TheLastTokenHasItsLogits) {
  const std::vector<float> all = logits_of(*model_, tokens_, 300);
  for (const size_t count : {300u, 257u, 44u}) {
    Generator generator(*model_, {kContext, DType::f32, false}, {});
    generator.load(std::make_shared<RandomReader>());
    std::vector<float> last;
    generator.append(std::span(tokens_).first(count),
                     [&](std::int64_t first, std::int64_t rows, const float* logits) {
                       EXPECT_EQ(first, static_cast<std::int64_t>(count) - 1);
                       EXPECT_EQ(rows, 1);
                       EXPECT_TRUE(last.empty());
                       last.assign(logits, logits + kVocabulary);
                     });
    if (count > 256) {  // more than the largest chunk: its head has never run
      const auto times = generator.engine().executor(0).op_times();
      EXPECT_GT(times.front().seconds, 0);
      EXPECT_EQ(times.back().seconds, 0);
    }
    const auto row = all.begin() + static_cast<std::ptrdiff_t>((count - 1) * kVocabulary);
    expect_close(last, {row, row + kVocabulary}, 2e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, EveryGenerator, ::testing::ValuesIn(kFamilies),
                         [](const auto& info) { return std::string(info.param); });

TEST(Generator, RefusesWhatDoesNotFit) {
  const auto model = tiny_model("gpt2");
  EXPECT_THROW(Generator(*model, {kContext + 1, DType::f32, false}, {}), Error);
  EXPECT_THROW(Generator(*model, {64, DType::f32, false}, {.budget_bytes = 1 << 10}), Error);
  Generator generator(*model, {8, DType::f32, false}, {});
  generator.load(std::make_shared<RandomReader>());
  const auto ignore = [](std::int64_t, std::int64_t, const float*) {};
  const std::vector<std::int32_t> nine(9, 1), bad = {1, 2, static_cast<std::int32_t>(kVocabulary)};
  EXPECT_THROW(generator.append(nine, ignore), Error);
  EXPECT_THROW(generator.append(bad, ignore), Error);
  EXPECT_EQ(generator.past(), 0) << "a refused call took tokens";
  generator.append(std::span(nine).first(8), ignore);
  EXPECT_THROW(generator.append(std::span(nine).first(1), ignore), Error);
}

TEST(Sample, GreedyTakesTheFirstOfTheLargest) {
  const std::vector<float> logits = {0.5f, 2.0f, -1.0f, 2.0f};
  EXPECT_EQ(sample(logits, {}, 0), 1);
  EXPECT_EQ(sample(logits, {.temperature = 3, .top_k = 1}, 0), 1);
  EXPECT_EQ(sample(logits, {.temperature = 3, .top_p = 0}, 0), 1);
}

TEST(Sample, DrawsFollowTheSoftmax) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.2f), std::log(0.3f),
                                     std::log(0.4f)};
  std::map<std::int32_t, int> counts;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) ++counts[sample(logits, {.temperature = 1, .seed = 4}, i)];
  for (std::int32_t id = 0; id < 4; ++id)  // five standard deviations
    EXPECT_NEAR(counts[id], kDraws * 0.1 * (id + 1), 5 * std::sqrt(kDraws * 0.25)) << id;
  counts.clear();
  for (int i = 0; i < kDraws; ++i)
    ++counts[sample(logits, {.temperature = 1, .top_p = 0.6, .seed = 4}, i)];
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_NEAR(counts[3], kDraws * 4.0 / 7, 5 * std::sqrt(kDraws * 0.25));
  for (int i = 0; i < 200; ++i)
    EXPECT_GE(sample(logits, {.temperature = 2, .top_k = 3, .seed = 7}, i), 1);
}

TEST(Sample, DependsOnSeedAndPositionAlone) {
  std::vector<float> logits(100);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i % 7) * 0.1f;
  const SamplingOptions options{.temperature = 1, .seed = 12};
  int same = 0;
  for (int position = 0; position < 50; ++position) {
    EXPECT_EQ(sample(logits, options, position), sample(logits, options, position));
    same += sample(logits, options, position) ==
            sample(logits, {.temperature = 1, .seed = 13}, position);
  }
  EXPECT_LT(same, 10);
}

TEST(Sample, TinyTemperaturesDoNotOverflow) {
  const std::vector<float> logits = {100.0f, -3e38f, 99.0f};
  for (int i = 0; i < 20; ++i) EXPECT_EQ(sample(logits, {.temperature = 1e-30}, i), 0);
}

}  // namespace
}  // namespace outsize::train_test
