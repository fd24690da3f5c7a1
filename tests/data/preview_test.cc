#include "data/preview.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixtures.h"

namespace outsize {
namespace {

using data_test::ByteTokenizer;
using data_test::options_for;
using data_test::TemporaryFiles;
using ::testing::HasSubstr;
using ::testing::Not;

class Preview : public ::testing::Test {
 protected:
  std::string show(const std::string& rows, std::int64_t count, bool ansi) {
    DataOptions options = options_for({files_.write("a.jsonl", rows)}, 32);
    options.shuffle = false;
    return preview(options, tokenizer_, count, {.ansi = ansi});
  }

  TemporaryFiles files_;
  ByteTokenizer tokenizer_{true, true};
};

TEST_F(Preview, MarksWhatIsMasked) {
  const std::string text =
      show("\n{\"prompt\": \"2+2=\", \"completion\": \"4\"}\n{\"text\": \"hi\"}\n", 2, false);
  EXPECT_THAT(text, HasSubstr("a.jsonl:2 · 6 positions · 2 targets\n⟦‹<bos>›2+2=⟧4‹<eos>›\n"));
  EXPECT_THAT(text, HasSubstr("a.jsonl:3 · 3 positions · 3 targets\n⟦‹<bos>›⟧hi‹<eos>›\n"));
  EXPECT_THAT(text, HasSubstr("samples    2\npositions  9 (4.5 a sample, longest 6)\n"
                              "targets    5\nrows       1 of 32 positions, 28.1 % filled\n"));
}

TEST_F(Preview, ColoursOnATerminal) {
  const std::string text = show("{\"prompt\": \"p\", \"completion\": \"c\"}\n", 1, true);
  EXPECT_THAT(text, HasSubstr("\x1b[2m\x1b[36m‹<bos>›\x1b[39mp\x1b[0m\x1b[1mc\x1b[36m‹<eos>›"));
}

TEST_F(Preview, ShowsAsManyAsAskedAndThereAre) {
  const std::string rows = "{\"text\": \"one\"}\n{\"text\": \"two\"}\n";
  EXPECT_THAT(show(rows, 1, false), Not(HasSubstr("two")));
  EXPECT_THAT(show(rows, 99, false), HasSubstr("two"));
  EXPECT_THAT(show(rows, -1, false), Not(HasSubstr("one")));
}

TEST_F(Preview, LetsNothingCommandTheTerminal) {
  const std::string text =
      show("{\"text\": \"\\u001b[31m \\u009b1m \\u202e caf\\u00e9 \\r\"}\n", 1, false);
  EXPECT_THAT(text, HasSubstr("\\x1b[31m \\xc2\\x9b1m \\xe2\\x80\\xae café \\x0d"));
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST_F(Preview, WholeCharactersAcrossTokens) {
  EXPECT_THAT(show("{\"prompt\": \"中\", \"completion\": \"👋\"}\n", 1, false),
              HasSubstr("⟦‹<bos>›中⟧👋‹<eos>›"));
}

}  // namespace
}  // namespace outsize
