#include "data/sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/row.h"
#include "data/utf8.h"
#include "fixtures.h"

namespace outsize {
namespace {

using data_test::ByteTokenizer;
using data_test::kBos;
using data_test::kEos;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

RowProblem problem_of(std::string_view line) {
  Row row;
  RowProblem problem;
  EXPECT_FALSE(parse_row(line, row, problem)) << line;
  return problem;
}

DataSample sample_of(std::string_view line, const Tokenizer& tokenizer, bool parse_special = true) {
  Row row;
  RowProblem problem;
  DataSample sample;
  EXPECT_TRUE(parse_row(line, row, problem)) << problem.what;
  EXPECT_TRUE(render_row(row, tokenizer, parse_special, sample, problem)) << problem.what;
  return sample;
}

TEST(Row, ReadsTextAndPairs) {
  Row row;
  RowProblem problem;
  ASSERT_TRUE(parse_row(R"({"id": 7, "text": "a\n\u00e9", "tags": [{"text": 1}]})", row, problem));
  EXPECT_TRUE(row.has_text);
  EXPECT_EQ(row.text, "a\n\xc3\xa9");
  ASSERT_TRUE(parse_row("{\"completion\":\"b\",\"prompt\":\"\"}\r", row, problem));
  EXPECT_FALSE(row.has_text);
  EXPECT_EQ(row.prompt, "");
  EXPECT_EQ(row.completion, "b");
}

TEST(Row, SaysWhatIsWrongAndWhere) {
  const struct {
    const char* line;
    const char* field;
    const char* what;
  } cases[] = {
      {R"({"text": 5})", "text", "is a number"},
      {R"({"text": null})", "text", "is null"},
      {R"({"text": ["a"]})", "text", "is a list"},
      {R"({"text": {"text": "a"}})", "text", "is an object"},
      {R"({"prompt": "a", "completion": true})", "completion", "is a boolean"},
      {R"({"text": ""})", "text", "is empty"},
      {R"({"prompt": "a", "completion": ""})", "completion", "is empty"},
      {R"({"prompt": "a"})", "completion", "is missing"},
      {R"({"completion": "a"})", "prompt", "is missing"},
      {R"({"text": "a", "prompt": "b"})", "text", "stands beside"},
      {R"({"text": "a", "text": "b"})", "text", "appears twice"},
      {R"({"body": "a"})", "", "has no \"text\""},
      {R"({"messages": []})", "", "chat template"},
      {R"(["text"])", "", "is a list"},
      {R"("text")", "", "is a string"},
      {"3", "", "is a number"},
      {R"({"text": "a")", "", "is not JSON"},
      {R"({"text": "a"} x)", "", "is not JSON"},
      {R"({"text": "\ud800"})", "", "is not JSON"},
      {"{\"text\": \"a\tb\"}", "", "is not JSON"},
      {"{\"text\": \"a\xff\"}", "", "is not UTF-8: byte 0xff at column 12"},
      {R"({"text": "a", "x": 1e999})", "", "is not JSON"},
  };
  for (const auto& c : cases) {
    const RowProblem problem = problem_of(c.line);
    EXPECT_EQ(problem.field, c.field) << c.line;
    EXPECT_THAT(problem.what, HasSubstr(c.what)) << c.line;
  }
}

TEST(Row, RefusesDeepNestingAndKeepsMessagesShort) {
  EXPECT_THAT(problem_of("{\"x\":" + std::string(1 << 20, '[')).what, HasSubstr("nested"));
  const RowProblem problem = problem_of("{\"text\": \"" + std::string(100000, 'a'));
  EXPECT_THAT(problem.what, HasSubstr("is not JSON"));
  EXPECT_LT(problem.what.size(), 300u);
}

TEST(Utf8, FindsTheFirstBadByte) {
  EXPECT_EQ(first_invalid_utf8("plain ascii of some length"), std::string_view::npos);
  EXPECT_EQ(first_invalid_utf8("\xc3\xa9\xe4\xb8\xad\xf0\x9f\x91\x8b"), std::string_view::npos);
  EXPECT_EQ(first_invalid_utf8("12345678\xc0\x80"), 8u);  // overlong
  EXPECT_EQ(first_invalid_utf8("a\xed\xa0\x80"), 1u);     // surrogate
  EXPECT_EQ(first_invalid_utf8("\xf4\x90\x80\x80"), 0u);  // above U+10FFFF
  EXPECT_EQ(first_invalid_utf8("1234567\xe4\xb8"), 7u);   // cut short
  EXPECT_EQ(first_invalid_utf8("\xe0\x9f\xbf"), 0u);      // overlong
  EXPECT_EQ(first_invalid_utf8(std::string(64, 'a') + "\x80"), 64u);
}

TEST(DataSample, TrainsTheCompletionAndItsEnd) {
  const DataSample sample =
      sample_of(R"({"prompt": "ab", "completion": "cd"})", {ByteTokenizer(true, true)});
  EXPECT_THAT(sample.ids, ElementsAre(kBos, 'a', 'b', 'c', 'd', kEos));
  EXPECT_EQ(sample.first_trained, 3);
}

TEST(DataSample, TrainsAllOfATextButTheFirstToken) {
  const DataSample with = sample_of(R"({"text": "ab"})", ByteTokenizer(true, true));
  EXPECT_THAT(with.ids, ElementsAre(kBos, 'a', 'b', kEos));
  EXPECT_EQ(with.first_trained, 1);
  const DataSample without = sample_of(R"({"text": "ab"})", ByteTokenizer(false, false));
  EXPECT_THAT(without.ids, ElementsAre('a', 'b'));
  EXPECT_EQ(without.first_trained, 1);
}

TEST(DataSample, HasEachSpecialTokenOnce) {
  const ByteTokenizer tokenizer(true, true);
  EXPECT_THAT(sample_of(R"({"text": "<bos>ab<eos>"})", tokenizer).ids,
              ElementsAre(kBos, 'a', 'b', kEos));
  EXPECT_THAT(sample_of(R"({"prompt": "<bos>a", "completion": "b<eos>"})", tokenizer).ids,
              ElementsAre(kBos, 'a', 'b', kEos));
  EXPECT_EQ(sample_of(R"({"text": "<bos>"})", tokenizer, false).ids.size(), 7u);
}

TEST(DataSample, AnEmptyPromptLeavesTheFirstTokenUntrained) {
  const DataSample sample =
      sample_of(R"({"prompt": "", "completion": "ab"})", ByteTokenizer(false, true));
  EXPECT_THAT(sample.ids, ElementsAre('a', 'b', kEos));
  EXPECT_EQ(sample.first_trained, 1);
}

TEST(DataSample, RefusesWhatCannotBeTrained) {
  Row row;
  RowProblem problem;
  DataSample sample;
  ASSERT_TRUE(parse_row(R"({"prompt": "a", "completion": "b"})", row, problem));
  EXPECT_FALSE(render_row(row, ByteTokenizer(false, false), true, sample, problem));
  EXPECT_THAT(problem.what, HasSubstr("no end token"));
  ASSERT_TRUE(parse_row(R"({"text": "a"})", row, problem));
  EXPECT_FALSE(render_row(row, ByteTokenizer(false, false), true, sample, problem));
  EXPECT_THAT(problem.what, HasSubstr("no token to train"));
}

TEST(DataSample, PiecesBringTheEndsOfTheirDocument) {
  const ByteTokenizer tokenizer(true, true);
  std::vector<TokenId> ids;
  render_piece("ab", true, false, tokenizer, true, ids);
  EXPECT_THAT(ids, ElementsAre(kBos, 'a', 'b'));
  render_piece("c", false, false, tokenizer, true, ids);
  EXPECT_THAT(ids, ElementsAre('c'));
  render_piece("", false, true, tokenizer, true, ids);
  EXPECT_THAT(ids, ElementsAre(kEos));
  render_piece("", true, true, tokenizer, true, ids);
  EXPECT_TRUE(ids.empty());
}

}  // namespace
}  // namespace outsize
