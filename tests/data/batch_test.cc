// Batches: masks on cases made by hand, the invariants of packing, and resumption at every batch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "core/rng.h"
#include "data/batch_source.h"
#include "fixtures.h"

namespace outsize {
namespace {

using data_test::ByteTokenizer;
using data_test::kBos;
using data_test::kEos;
using data_test::options_for;
using data_test::TemporaryFiles;
using ::testing::ElementsAre;

const ByteTokenizer& tokenizer() {
  static const ByteTokenizer instance(true, true);
  return instance;
}

bool equal(const Batch& a, const Batch& b) {
  return a.tokens == b.tokens && a.positions == b.positions &&
         a.document_start == b.document_start && a.targets == b.targets &&
         a.target_tokens == b.target_tokens && a.real_tokens == b.real_tokens;
}

// Rows "#i#" with varied lengths; each sample tells its number.
std::string numbered_rows(int count, std::uint64_t longest) {
  const Rng rng(5, 5);
  std::string text;
  for (int i = 0; i < count; ++i) {
    const std::string body(rng.below(static_cast<std::uint64_t>(i), longest), 'x');
    text += i % 3 == 0
                ? fmt::format("{{\"text\": \"#{}#{}\"}}\n", i, body)
                : fmt::format("{{\"prompt\": \"#{}#\", \"completion\": \"{}y\"}}\n", i, body);
  }
  return text;
}

// Checks the form of a batch and counts the samples in it by their number.
void check_batch(const Batch& batch, std::int64_t length, std::map<int, int>& seen) {
  const std::size_t n = batch.tokens.size();
  std::int64_t targets = 0, real = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto start = static_cast<std::size_t>(batch.document_start[i]);
    ASSERT_LE(start, i);
    ASSERT_EQ(start / static_cast<std::size_t>(length), i / static_cast<std::size_t>(length));
    ASSERT_EQ(batch.positions[i], static_cast<std::int32_t>(i - start));
    ASSERT_EQ(static_cast<std::size_t>(batch.document_start[start]), start);
    const bool goes_on =
        i + 1 < n && static_cast<std::size_t>(batch.document_start[i + 1]) == start;
    targets += batch.targets[i] >= 0;
    if (batch.targets[i] >= 0 && goes_on) {
      ASSERT_EQ(batch.targets[i], batch.tokens[i + 1]);
    }
    const bool is_padding = batch.tokens[i] == 0;
    real += !is_padding;
    if (is_padding) {
      ASSERT_TRUE(start == i && batch.targets[i] == -1 && batch.positions[i] == 0);
    }
    if (!is_padding && !goes_on) {
      ASSERT_EQ(batch.targets[i], kEos);
    }
    if (start != i || is_padding) continue;
    ASSERT_EQ(batch.tokens[i], kBos);
    std::string name;
    for (std::size_t at = i + 2; batch.tokens[at] != '#'; ++at)
      name += static_cast<char>(batch.tokens[at]);
    ++seen[std::stoi(name)];
  }
  EXPECT_EQ(batch.target_tokens, targets);
  EXPECT_EQ(batch.real_tokens, real);
}

TEST(Batch, MasksPromptsAndPadsRows) {
  const TemporaryFiles files;
  const auto path =
      files.write("a.jsonl", "{\"prompt\": \"ab\", \"completion\": \"cd\"}\n{\"text\": \"e\"}\n");
  DataOptions options = options_for({path}, 8);
  options.shuffle = false;
  BatchSource source(Dataset::open(options, tokenizer()), 1);
  Batch batch;
  source.next(batch);
  EXPECT_THAT(batch.tokens, ElementsAre(kBos, 'a', 'b', 'c', 'd', kBos, 'e', 0));
  EXPECT_THAT(batch.targets, ElementsAre(-1, -1, 'c', 'd', kEos, 'e', kEos, -1));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 3, 4, 0, 1, 0));
  EXPECT_THAT(batch.document_start, ElementsAre(0, 0, 0, 0, 0, 5, 5, 7));
  EXPECT_EQ(batch.target_tokens, 5);
  EXPECT_EQ(batch.real_tokens, 7);
  EXPECT_EQ(source.cursor().epoch, 1u);
}

TEST(Batch, UnpackedRowsHoldOneSample) {
  const TemporaryFiles files;
  DataOptions options = options_for({files.write("a.jsonl", numbered_rows(10, 4))}, 12);
  options.pack = false;
  const auto dataset = Dataset::open(options, tokenizer());
  EXPECT_EQ(count_rows(*dataset, true, 0), 10u);
  BatchSource source(dataset, 5);
  Batch batch;
  std::map<int, int> seen;
  for (int i = 0; i < 2; ++i) {
    source.next(batch);
    check_batch(batch, 12, seen);
    for (int row = 0; row < 5; ++row)
      EXPECT_EQ(batch.tokens[static_cast<std::size_t>(row) * 12], kBos);
  }
  EXPECT_EQ(seen.size(), 10u);
}

TEST(Batch, TextFilesAreCutIntoRowsThatTrainEveryToken) {
  const TemporaryFiles files;
  DataOptions options = options_for({files.write("a.txt", "0123456789abcdef\n<eos>\nxyz")}, 8);
  options.shuffle = false;
  const auto dataset = Dataset::open(options, tokenizer());
  // <bos>, 17 bytes and <eos> make 18 positions; <bos> xyz <eos> makes 4.
  EXPECT_EQ(dataset->totals().samples, 4u);
  EXPECT_EQ(dataset->totals().targets, 22u);
  ValidationSource source(dataset, 4);
  Batch batch;
  ASSERT_TRUE(source.next(batch));
  EXPECT_EQ(batch.target_tokens, 22);
  EXPECT_EQ(batch.tokens[0], kBos);
  EXPECT_EQ(batch.targets[7], '7');
  EXPECT_EQ(batch.tokens[8], '7');
  EXPECT_THAT(std::vector<std::int32_t>(batch.targets.begin() + 16, batch.targets.begin() + 24),
              ElementsAre('\n', kEos, 'x', 'y', 'z', kEos, -1, -1));
  EXPECT_FALSE(source.next(batch));
}

// A text of many pieces, read row by row in any order, gives the ids of the whole text.
TEST(Batch, RowsOfALargeTextJoinToTheText) {
  const TemporaryFiles files;
  const Rng rng(9, 9);
  std::string text;
  while (text.size() < 300000) {
    const std::uint64_t i = text.size();
    text += std::string(rng.below(i, 100), static_cast<char>('a' + rng.below(i + 1, 26)));
    text += rng.below(i + 2, 9) ? " " : "\n";
  }
  for (const std::int64_t length : {64, 5000, 200000}) {
    const auto dataset =
        Dataset::open(options_for({files.write("a.txt", text)}, length), tokenizer());
    std::vector<TokenId> joined;
    Dataset::Scratch scratch;
    DataSample sample;
    for (std::uint64_t i = dataset->samples(); i-- > 0;) {
      dataset->load(dataset->entry(i), scratch, sample);
      if (!joined.empty()) sample.ids.pop_back();  // the next row begins with it
      joined.insert(joined.begin(), sample.ids.begin(), sample.ids.end());
    }
    std::vector<TokenId> expected = {kBos};
    tokenizer().encode(text, true, expected);
    expected.push_back(kEos);
    EXPECT_EQ(joined, expected) << length;
  }
}

TEST(Batch, EverySampleComesOncePerEpoch) {
  const TemporaryFiles files;
  const int count = 3000;
  const auto path = files.write("a.jsonl", numbered_rows(count, 20));
  for (const std::uint64_t seed : {1, 2}) {
    DataOptions options = options_for({path}, 32);
    options.seed = seed;
    const auto dataset = Dataset::open(options, tokenizer());
    BatchSource source(dataset, 1);
    Batch batch;
    for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
      std::map<int, int> seen;
      const std::uint64_t rows = count_rows(*dataset, true, epoch);
      for (std::uint64_t row = 0; row < rows; ++row) {
        ASSERT_EQ(source.cursor().epoch, epoch);
        source.next(batch);
        check_batch(batch, 32, seen);
      }
      ASSERT_EQ(source.cursor().epoch, epoch + 1);
      ASSERT_EQ(seen.size(), static_cast<std::size_t>(count));
      for (const auto& [name, times] : seen) ASSERT_EQ(times, 1) << name;
      const double filled =
          static_cast<double>(dataset->totals().positions) / static_cast<double>(rows * 32);
      EXPECT_GT(filled, 0.93);  // many samples here fill more than half a row
    }
  }
}

TEST(Batch, OrderChangesWithSeedAndEpoch) {
  const TemporaryFiles files;
  DataOptions options = options_for({files.write("a.jsonl", numbered_rows(40, 10))}, 24);
  Batch first, second, other;
  BatchSource source(Dataset::open(options, tokenizer()), 4);
  source.next(first);
  while (source.cursor().epoch == 0) source.next(second);
  source.next(second);
  options.seed = 1;
  BatchSource(Dataset::open(options, tokenizer()), 4).next(other);
  EXPECT_FALSE(equal(first, second));
  EXPECT_FALSE(equal(first, other));
}

TEST(Cursor, ContinuesBitIdenticallyFromEveryBatch) {
  const TemporaryFiles files;
  const auto rows = files.write("a.jsonl", numbered_rows(5000, 20));
  const auto text = files.write("b.txt", std::string(20000, 'q') + "\nend");
  for (const bool pack : {true, false}) {
    DataOptions options = options_for({rows, text}, 32);
    options.pack = pack;
    const auto dataset = Dataset::open(options, tokenizer());
    BatchSource source(dataset, 7);
    BatchSource other(dataset, 7);
    Batch expected, got;
    for (int i = 0; source.cursor().epoch < 2; ++i) {
      const std::string saved = to_json(source.cursor());
      source.next(expected);
      BatchSource fresh(dataset, 7);
      BatchSource& resumed = i % 2 ? other : fresh;
      resumed.restore(cursor_from_json(saved));
      resumed.next(got);
      ASSERT_TRUE(equal(expected, got)) << "batch " << i;
      ASSERT_EQ(source.cursor(), resumed.cursor());
    }
    EXPECT_GE(source.epochs_done(), 2.0);
  }
}

TEST(Cursor, GlobalBatchesAreTheSameMicrobatches) {
  const TemporaryFiles files;
  const auto dataset =
      Dataset::open(options_for({files.write("a.jsonl", numbered_rows(90, 20))}, 32), tokenizer());
  BatchSource one(dataset, 2), many(dataset, 2);
  std::vector<Batch> batches;
  for (int step = 0; step < 30; ++step) {
    const std::int64_t targets = many.next_global(3, batches);
    ASSERT_EQ(batches.size(), 3u);
    std::int64_t sum = 0;
    for (const Batch& batch : batches) {
      Batch single;
      one.next(single);
      ASSERT_TRUE(equal(single, batch));
      sum += single.target_tokens;
    }
    ASSERT_EQ(targets, sum);
    ASSERT_GT(targets, 0);
  }
  EXPECT_THROW(many.next_global(0, batches), Error);
}

TEST(Cursor, RefusesOtherDataAndNonsense) {
  const TemporaryFiles files;
  DataOptions options = options_for({files.write("a.jsonl", numbered_rows(50, 20))}, 32);
  BatchSource source(Dataset::open(options, tokenizer()), 2);
  const Cursor cursor = source.cursor();
  Batch expected, got;
  BatchSource(Dataset::open(options, tokenizer()), 2).next(expected);
  options.seed = 99;
  BatchSource other(Dataset::open(options, tokenizer()), 2);
  EXPECT_THROW(other.restore(cursor), Error);
  Cursor outside = cursor;
  outside.window = 50;
  EXPECT_THROW(source.restore(outside), Error);
  outside = cursor;
  outside.row = 1000;
  EXPECT_THROW(source.restore(outside), Error);
  source.next(got);  // a refused cursor leaves the source where it was
  EXPECT_TRUE(equal(expected, got));
  for (const char* text : {"", "[]", "3", "{}", "{\"epoch\":0,\"window\":0,\"row\":-1}",
                           "{\"epoch\":0,\"window\":0,\"row\":0,\"fingerprint\":\"xyz\"}",
                           "{\"epoch\":0,\"window\":0,\"row\":0,\"fingerprint\":7}"})
    EXPECT_THROW(cursor_from_json(text), Error) << text;
}

TEST(Validation, GivesAllSamplesOnceInOrderAndEnds) {
  const TemporaryFiles files;
  const auto dataset = Dataset::open(
      options_for({files.write("a.jsonl", numbered_rows(1001, 20))}, 32), tokenizer());
  ValidationSource source(dataset, 8);
  for (int pass = 0; pass < 2; ++pass) {
    std::map<int, int> seen;
    std::int64_t targets = 0;
    Batch batch;
    while (source.next(batch)) {
      EXPECT_EQ(batch.tokens.size(), 8u * 32u);
      check_batch(batch, 32, seen);
      targets += batch.target_tokens;
    }
    EXPECT_FALSE(source.next(batch));
    EXPECT_EQ(seen.size(), 1001u);
    for (const auto& [name, times] : seen) EXPECT_EQ(times, 1) << name;
    EXPECT_EQ(targets, static_cast<std::int64_t>(dataset->totals().targets));
    source.rewind();
  }
}

TEST(Batch, RefusesShapesOutOfRange) {
  const TemporaryFiles files;
  const auto dataset = Dataset::open(
      options_for({files.write("a.jsonl", numbered_rows(3, 20))}, 1 << 20), tokenizer());
  EXPECT_THROW(BatchSource(dataset, 0), Error);
  EXPECT_THROW(BatchSource(dataset, 2048), Error);
  EXPECT_THROW(ValidationSource(dataset, std::int64_t{1} << 60), Error);
}

}  // namespace
}  // namespace outsize
