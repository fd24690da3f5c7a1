// Cutting text: the hand-written splitters against PCRE2 running the published patterns, the
// behaviours of Split, and patterns that must not hang.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/regex.h"
#include "tokenizer/samples.h"

namespace outsize {
namespace {

using Texts = std::vector<std::string>;

Texts texts_of(const Pieces& pieces) {
  Texts out;
  for (const Span& span : pieces.spans) {
    out.emplace_back(pieces.text.substr(span.begin, span.end - span.begin));
  }
  return out;
}

Texts split(const std::string& json, const std::string& text) {
  const auto pre = PreTokenizer::from_json(nlohmann::json::parse(json), "test");
  Pieces pieces;
  pieces.text = text;
  pre.split(pieces);
  return texts_of(pieces);
}

class KnownSplitTest : public testing::TestWithParam<KnownPattern> {};

TEST_P(KnownSplitTest, EqualsPcre2) {
  const Regex regex(std::string(text_of(GetParam())), "test");
  std::mt19937_64 random(7);
  std::size_t pieces = 0;
  for (int round = 0; round < 30'000; ++round) {
    const std::string text = random_text(random, 30);
    std::vector<Span> fast;
    split_known(GetParam(), Peer::Tokenizers, text, {0, static_cast<std::uint32_t>(text.size())},
                fast);
    std::vector<Span> slow;
    regex.for_each_match(text, [&](std::size_t begin, std::size_t end) {
      slow.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)});
    });
    ASSERT_EQ(fast.size(), slow.size()) << text;
    for (std::size_t i = 0; i < fast.size(); ++i) {
      ASSERT_EQ(fast[i].begin, slow[i].begin) << text;
      ASSERT_EQ(fast[i].end, slow[i].end) << text;
    }
    pieces += fast.size();
  }
  EXPECT_GT(pieces, 100'000u);
}

INSTANTIATE_TEST_SUITE_P(Patterns, KnownSplitTest,
                         testing::Values(KnownPattern::Gpt2, KnownPattern::Llama3,
                                         KnownPattern::Qwen2));

TEST(KnownSplit, SeesOnlyItsPart) {
  const std::string text = "ab  cd";
  std::vector<Span> spans;
  split_known(KnownPattern::Gpt2, Peer::Tokenizers, text, {0, 4}, spans);
  ASSERT_EQ(spans.size(), 2u);  // both spaces: nothing follows them inside the part
  EXPECT_EQ(spans[1].end, 4u);
}

// Expected pieces from the tokenizers library 0.23.3.
TEST(Split, BehavioursOfTheLibrary) {
  const auto with = [](const std::string& behavior, bool invert) {
    return split(R"({"type":"Split","pattern":{"String":"-"},"behavior":")" + behavior +
                     R"(","invert":)" + (invert ? "true}" : "false}"),
                 "the-final--countdown");
  };
  EXPECT_EQ(with("Removed", false), (Texts{"the", "final", "countdown"}));
  EXPECT_EQ(with("Removed", true), (Texts{"-", "-", "-"}));
  EXPECT_EQ(with("Isolated", false), (Texts{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(with("MergedWithPrevious", false), (Texts{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(with("MergedWithNext", false), (Texts{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(with("Contiguous", false), (Texts{"the", "-", "final", "--", "countdown"}));
}

TEST(Split, Digits) {
  EXPECT_EQ(split(R"({"type":"Digits","individual_digits":true})", "a12b٣"),
            (Texts{"a", "1", "2", "b", "٣"}));
  EXPECT_EQ(split(R"({"type":"Digits","individual_digits":false})", "a12b٣"),
            (Texts{"a", "12", "b", "٣"}));
}

TEST(Split, Metaspace) {
  const std::string split_off = R"("replacement":"▁","split":false,"prepend_scheme":)";
  EXPECT_EQ(split(R"({"type":"Metaspace",)" + split_off + R"("always"})", "a b"), Texts{"▁a▁b"});
  EXPECT_EQ(split(R"({"type":"Metaspace",)" + split_off + R"("never"})", "a b"), Texts{"a▁b"});
  EXPECT_EQ(split(R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"first"})", " a  b"),
            (Texts{"▁a", "▁", "▁b"}));
}

TEST(Split, RefusesWhatItDoesNotKnow) {
  EXPECT_THROW(split(R"({"type":"Punctuation"})", "a"), Error);
  EXPECT_THROW(split(R"({"type":"Split","pattern":{"Regex":"("}})", "a"), Error);
  EXPECT_THROW(split(R"({"type":"Split","pattern":{"Regex":"[a&&b]"}})", "a"), Error);
  EXPECT_THROW(split(R"({"type":"Split","pattern":{"String":"a"},"behavior":"Odd"})", "a"), Error);
  EXPECT_THROW(
      split(R"({"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits"}]})", "a"),
      Error);
}

TEST(Regex, MeansWhatOnigurumaMeans) {
  EXPECT_EQ(translate_oniguruma(R"(\s[\s\w]\h\\s)", "test"),
            R"([\t-\r\x{85}\p{Z}][\t-\r\x{85}\p{Z}\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}][0-9a-fA-F]\\s)");
  EXPECT_EQ(translate_oniguruma("[]s]\\S", "test"), R"([]s][^\t-\r\x{85}\p{Z}])");
  int matches = 0;
  const auto count = [&](std::size_t, std::size_t) { ++matches; };
  Regex(R"(\s)", "test").for_each_match("a\u180E\u0085 ", count);
  EXPECT_EQ(matches, 2);  // not U+180E
  matches = 0;
  Regex::literal("a.(\n\\E", "test").for_each_match("xa.(\n\\Ea.(\n\\E", count);
  EXPECT_EQ(matches, 2);
}

TEST(Regex, CostlyPatternsEndInAnError) {
  const std::string text = std::string(50, 'a') + "!";
  for (const char* pattern : {"(a+)+$", "(a|aa)+$", "(.*)*x", "(?:a?){50}a{50}x", "(?=(a+))*b"}) {
    const Regex regex(pattern, "test");
    try {
      regex.for_each_match(text, [](std::size_t, std::size_t) {});
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Unsupported) << pattern;
    }
  }
  EXPECT_THROW(Regex("(a+)+$", "test").for_each_match(text, [](std::size_t, std::size_t) {}),
               Error);
  EXPECT_THROW(Regex(std::string(100'000, 'a'), "test"), Error);
  EXPECT_THROW(Regex("((((a{1000}){1000}){1000}){1000})", "test"), Error);
}

}  // namespace
}  // namespace outsize
