// The check of a whole data set: what it reports, what it counts, that it survives anything, and
// that its memory does not grow with the data.
#include "data/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/rng.h"
#include "data/dataset.h"
#include "fixtures.h"

namespace outsize {
namespace {

using data_test::ByteTokenizer;
using data_test::options_for;
using data_test::TemporaryFiles;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kGood = "{\"text\": \"good\"}\n";

std::string message_of(const std::function<void()>& body, ErrorKind kind) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

TEST(Check, NamesFileLineAndFieldOfEveryBadRow) {
  const TemporaryFiles files;
  const auto first = files.write(
      "a.jsonl", std::string(kGood) + "\n" + "{\"prompt\": \"p\", \"completion\": 4}\n" + kGood);
  const auto second = files.write("b.jsonl", std::string("{\"text\": \"\xff\"}\n") + kGood +
                                                 "{\"text\": \"far too long for this\"}");
  const auto third = files.write("c.txt", "fine\nbad \x80 byte\n");
  const ByteTokenizer tokenizer(true, true);
  const DataReport report = check_dataset(options_for({first, second, third}, 16), tokenizer);
  ASSERT_EQ(report.problem_count, 4u);
  EXPECT_EQ(report.problems[0].file, first.string());
  EXPECT_EQ(report.problems[0].line, 3);
  EXPECT_EQ(report.problems[0].field, "completion");
  EXPECT_EQ(report.problems[1].line, 1);
  EXPECT_THAT(report.problems[1].what, HasSubstr("UTF-8"));
  EXPECT_EQ(report.problems[2].line, 3);
  EXPECT_EQ(report.problems[2].field, "text");
  EXPECT_THAT(report.problems[2].what, HasSubstr("22 positions"));
  EXPECT_EQ(report.problems[3].line, 2);
  EXPECT_THAT(report.problems[3].what, HasSubstr("byte 0x80 at column 5"));
  EXPECT_THAT(to_string(report), HasSubstr("a.jsonl:3: completion: is a number"));
  EXPECT_EQ(report.totals.rows, 7u);
}

TEST(Check, ShowsTheFirstAndCountsTheRest) {
  const TemporaryFiles files;
  std::string text;
  for (int i = 0; i < 5000; ++i) text += i % 2 ? kGood : "{}\n";
  const auto path = files.write("a.jsonl", text);
  const ByteTokenizer tokenizer(true, true);
  const std::string message = message_of([&] { Dataset::open(options_for({path}, 16), tokenizer); },
                                         ErrorKind::InvalidArgument);
  EXPECT_THAT(message, AllOf(HasSubstr("2500 of 5000 rows"), HasSubstr("a.jsonl:1: row has no"),
                             HasSubstr("a.jsonl:39:"), Not(HasSubstr("a.jsonl:41:")),
                             HasSubstr("and 2480 more")));
}

TEST(Check, RefusesBadOptionsAndFiles) {
  const TemporaryFiles files;
  const ByteTokenizer tokenizer(true, true);
  const auto good = files.write("a.jsonl", kGood);
  const auto open = [&](const DataOptions& options) {
    return [&, options] { Dataset::open(options, tokenizer); };
  };
  EXPECT_THAT(message_of(open(options_for({}, 8)), ErrorKind::InvalidArgument),
              HasSubstr("no file"));
  EXPECT_THAT(message_of(open(options_for({good}, 0)), ErrorKind::InvalidArgument),
              HasSubstr("sequence_length"));
  EXPECT_THAT(message_of(open(options_for({files.path("none.jsonl")}, 8)), ErrorKind::Io),
              HasSubstr("none.jsonl"));
  EXPECT_THAT(
      message_of(open(options_for({files.write("a.json", "[]")}, 8)), ErrorKind::Unsupported),
      HasSubstr("one JSON object a line"));
  EXPECT_THAT(message_of(open(options_for({files.write("e.jsonl", "\n \n")}, 8)),
                         ErrorKind::InvalidArgument),
              HasSubstr("no sample"));
  EXPECT_THAT(
      message_of(open(options_for({files.write("e.txt", "")}, 8)), ErrorKind::InvalidArgument),
      HasSubstr("no sample"));
}

TEST(Check, RefusesCompletionsWithoutAnEndToken) {
  const TemporaryFiles files;
  const auto path = files.write("a.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n");
  const ByteTokenizer tokenizer(true, false);
  EXPECT_THAT(message_of([&] { Dataset::open(options_for({path}, 8), tokenizer); },
                         ErrorKind::InvalidArgument),
              HasSubstr("a.jsonl:1: completion: cannot be ended"));
}

TEST(Check, TreatsLongSamplesAsAsked) {
  using LongSamples = DataOptions::LongSamples;
  const TemporaryFiles files;
  // 1 + 20 + 1 ids, so 21 positions; the pair has 1 + 10 + 4 + 1 ids, 15 positions, 5 of them
  // trained.
  const auto path = files.write("a.jsonl",
                                "{\"text\": \"01234567890123456789\"}\n"
                                "{\"prompt\": \"0123456789\", \"completion\": \"abcd\"}\n"
                                "{\"text\": \"short\"}\n");
  const ByteTokenizer tokenizer(true, true);
  const auto totals_with = [&](LongSamples rule, std::int64_t length) {
    DataOptions options = options_for({path}, length);
    options.long_samples = rule;
    return Dataset::open(options, tokenizer)->totals();
  };
  const DataTotals truncated = totals_with(LongSamples::truncate, 12);
  EXPECT_EQ(truncated.samples, 3u);
  EXPECT_EQ(truncated.truncated, 2u);
  EXPECT_EQ(truncated.targets, 12u + 2u + 6u);
  const DataTotals dropped = totals_with(LongSamples::drop, 12);
  EXPECT_EQ(dropped.samples, 1u);
  EXPECT_EQ(dropped.dropped, 2u);
  const DataTotals split = totals_with(LongSamples::split, 8);
  EXPECT_EQ(split.split, 2u);
  EXPECT_EQ(split.untrained_chunks, 1u);
  EXPECT_EQ(split.samples, 3u + 1u + 1u);
  EXPECT_EQ(split.targets, 21u + 5u + 6u);
  EXPECT_EQ(split.longest_positions, 8u);
  EXPECT_THAT(
      message_of([&] { totals_with(LongSamples::truncate, 8); }, ErrorKind::InvalidArgument),
      HasSubstr("a.jsonl:2: prompt: alone fills"));
}

TEST(Check, AnyMutationEndsInATypedErrorOrAWorkingDataSet) {
  const TemporaryFiles files;
  const ByteTokenizer tokenizer(true, true);
  const std::string base =
      "{\"text\": \"caf\xc3\xa9 \\u00e9\\n\", \"n\": [1, {\"a\": null}]}\n"
      "{\"prompt\": \"2+2=\", \"completion\": \" 4\"}\n\n{\"text\": \"<bos>x<eos>\"}";
  int refused = 0, read = 0;
  for (std::uint64_t seed = 0; seed < 10000; ++seed) {
    const Rng rng(seed, 3);
    std::string text = base;
    const std::uint64_t edits = 1 + rng.below(0, 4);
    for (std::uint64_t e = 0; e < edits && !text.empty(); ++e) {
      const std::size_t at = rng.below(4 * e + 1, text.size());
      const std::size_t bytes = rng.below(4 * e + 2, 9);
      switch (rng.below(4 * e + 3, 4)) {
        case 0:
          text[at] = static_cast<char>(rng.bits(4 * e + 4));
          break;
        case 1:
          text.erase(at, bytes);
          break;
        case 2:
          text.insert(at, text.substr(rng.below(4 * e + 4, text.size()), bytes));
          break;
        default:
          text[at] = "{}[]\",:\\\n\r"[rng.below(4 * e + 4, 11)];
          break;
      }
    }
    // A new file each time: file systems flush one that is truncated and written again.
    std::filesystem::remove(files.path("m.txt"));
    std::filesystem::remove(files.path("m.jsonl"));
    const auto path = files.write(seed % 4 == 0 ? "m.txt" : "m.jsonl", text);
    try {
      DataOptions options = options_for({path}, 4 + static_cast<std::int64_t>(seed % 60));
      options.long_samples = static_cast<DataOptions::LongSamples>(seed / 4 % 4);
      if (!check_dataset(options, tokenizer).is_clean()) {
        ++refused;
        continue;
      }
      ++read;
      if (seed / 16 % 4 != 0) continue;  // writing an index waits for the disk
      const auto dataset = Dataset::open(options, tokenizer);
      Dataset::Scratch scratch;
      DataSample sample;
      for (std::uint64_t i = 0; i < dataset->samples(); ++i)
        dataset->load(dataset->entry(i), scratch, sample);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument)
          << "seed " << seed << ": " << error.what();
      EXPECT_THAT(error.what(), HasSubstr("no sample"));
    }
  }
  EXPECT_GT(refused, 2000);
  EXPECT_GT(read, 2000);
}

std::int64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != "VmHWM:") continue;
    std::int64_t kilobytes = 0;
    status >> kilobytes;
    return kilobytes * 1024;
  }
  return 0;
}

TEST(Check, MemoryDoesNotGrowWithTheData) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers keep freed memory";
#endif
  const TemporaryFiles files;
  const ByteTokenizer tokenizer(true, true);
  const std::string row = "{\"text\": \"" + std::string(230, 'x') + "\"}\n";
  const auto write = [&](const char* name, std::size_t bytes, const std::string& line) {
    std::ofstream out(files.path(name), std::ios::binary);
    for (std::size_t at = 0; at < bytes; at += line.size()) out << line;
    return files.path(name);
  };
  const auto small_rows = write("small.jsonl", 3 << 20, row);
  const auto large_rows = write("large.jsonl", 60 << 20, row);
  const auto large_text = write("large.txt", 60 << 20, std::string(90, 'y') + "\n");
  Dataset::open(options_for({small_rows}, 256), tokenizer);  // first use of threads and buffers
  const std::int64_t before = peak_rss_bytes();
  ASSERT_GT(before, 0);
  const auto rows = Dataset::open(options_for({large_rows}, 256), tokenizer);
  const auto text = Dataset::open(options_for({large_text}, 256), tokenizer);
  EXPECT_GT(rows->samples(), 200000u);
  EXPECT_GT(text->samples(), 200000u);
  EXPECT_LT(peak_rss_bytes() - before, 12 << 20);
}

TEST(Index, IsReusedOnlyForTheSameDataAndOptions) {
  const TemporaryFiles files;
  const ByteTokenizer tokenizer(true, true);
  const auto path = files.write("a.jsonl", std::string(kGood) + kGood);
  DataOptions options = options_for({path}, 16);
  options.index_dir = files.path("run/index");
  const auto made = Dataset::open(options, tokenizer);
  EXPECT_FALSE(made->was_indexed());
  const auto found = Dataset::open(options, tokenizer);
  EXPECT_TRUE(found->was_indexed());
  EXPECT_EQ(found->fingerprint(), made->fingerprint());
  EXPECT_EQ(found->totals().targets, made->totals().targets);

  DataOptions longer = options;
  longer.sequence_length = 17;
  EXPECT_FALSE(Dataset::open(longer, tokenizer)->was_indexed());
  EXPECT_FALSE(Dataset::open(options, ByteTokenizer(false, true))->was_indexed());
  files.write("a.jsonl", std::string(kGood) + "{\"text\": \"bad!\"}\n");  // same size
  const auto edited = Dataset::open(options, tokenizer);
  EXPECT_FALSE(edited->was_indexed());
}

TEST(Index, ADamagedFileIsMadeAnew) {
  const TemporaryFiles files;
  const ByteTokenizer tokenizer(true, true);
  DataOptions options = options_for({files.write("a.jsonl", std::string(kGood) + kGood)}, 16);
  options.index_dir = files.path("index");
  const auto whole = Dataset::open(options, tokenizer);
  const auto index = std::filesystem::directory_iterator(options.index_dir)->path();
  std::ifstream in(index, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    if (at % 2) damaged.resize(at);
    std::ofstream(index, std::ios::binary) << damaged;
    const auto again = Dataset::open(options, tokenizer);
    ASSERT_FALSE(again->was_indexed()) << "byte " << at;
    ASSERT_EQ(again->fingerprint(), whole->fingerprint());
  }
  EXPECT_TRUE(Dataset::open(options, tokenizer)->was_indexed());
}

TEST(Dataset, SaysWhenAFileChangedUnderTheRun) {
  const TemporaryFiles files;
  const ByteTokenizer tokenizer(true, true);
  const auto path = files.write("a.jsonl", std::string(kGood) + kGood);
  const auto dataset = Dataset::open(options_for({path}, 16), tokenizer);
  files.write("a.jsonl", std::string(kGood) + "{\"text\": \"goo\"} \n");
  Dataset::Scratch scratch;
  DataSample sample;
  dataset->load(dataset->entry(0), scratch, sample);
  EXPECT_THAT(
      message_of([&] { dataset->load(dataset->entry(1), scratch, sample); }, ErrorKind::Corruption),
      HasSubstr("changed since it was checked"));
  files.write("a.jsonl", kGood);
  EXPECT_THAT(
      message_of([&] { dataset->load(dataset->entry(1), scratch, sample); }, ErrorKind::Corruption),
      HasSubstr("a.jsonl"));
}

}  // namespace
}  // namespace outsize
