#include "config/value.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "config/nearest.h"
#include "config/utf8.h"
#include "config/yaml_tree.h"

namespace outsize {
namespace {

TEST(Value, SizesReadEveryUnit) {
  EXPECT_EQ(parse_size("4GiB"), std::int64_t{4} << 30);
  EXPECT_EQ(parse_size("4 gib"), std::int64_t{4} << 30);
  EXPECT_EQ(parse_size("1.5kB"), 1500);
  EXPECT_EQ(parse_size("0.5TiB"), std::int64_t{1} << 39);
  EXPECT_EQ(parse_size("123"), 123);
  EXPECT_EQ(parse_size("9007199254740993B"), 9007199254740993);  // above 2^53: no double on the way
  EXPECT_EQ(parse_size("4194304TiB"), std::int64_t{1} << 62);
  for (const char* bad : {"", "GiB", "-1", "-1GiB", "4G", "4GiBs", "1e400GiB", "4194305TiB",
                          "99999999999999999999", "1.5", "nan", "infGiB", "0x10", "1 2GiB"})
    EXPECT_FALSE(parse_size(bad)) << bad;
}

TEST(Value, FormattedSizesReadBack) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 1000; ++i) {
    const auto bytes = static_cast<std::int64_t>(random() >> (2 + random() % 62));
    EXPECT_EQ(parse_size(format_size(bytes)), bytes);
  }
  EXPECT_EQ(format_size(std::int64_t{4} << 30), "4GiB");
  EXPECT_EQ(format_size(1536), "1536B");
  EXPECT_EQ(format_size(0), "0B");
  EXPECT_EQ(show_size(std::int64_t{3} << 29), "1.5 GiB");
}

TEST(Value, FormattedRealsReadBackToTheSameBits) {
  std::mt19937_64 random(5);
  int finite = 0;
  for (int i = 0; i < 2000; ++i) {
    const double value = std::bit_cast<double>(random());
    if (!std::isnormal(value)) continue;
    ++finite;
    EXPECT_EQ(parse_real(format_real(value)), value);
  }
  EXPECT_GT(finite, 1000);
  EXPECT_EQ(parse_real("+2e-4"), 2e-4);
  for (const char* bad : {"", "abc", "1.0x", "nan", "inf", "1e999", "0x1p3", "1,5", " 1", "++1"})
    EXPECT_FALSE(parse_real(bad)) << bad;
}

TEST(Value, IntegersRefuseWhatDoesNotFit) {
  EXPECT_EQ(parse_integer("-42"), -42);
  EXPECT_EQ(parse_integer("+9223372036854775807"), std::numeric_limits<std::int64_t>::max());
  for (const char* bad : {"", "9223372036854775808", "1.0", "1e3", "0x10", "+-1", "1_000"})
    EXPECT_FALSE(parse_integer(bad)) << bad;
}

TEST(Value, TextSurvivesYaml) {
  for (const std::string& text : std::vector<std::string>{
           "plain",        "/a/b-c.txt", "null",        "~",         "true",
           "12",           "a: b",       "a #b",        "",          " x ",
           "it's",         "say \"hi\"", "back\\slash", "tab\there", "line\nbreak",
           "ünïcode 日本", "[x]",        "{",           "*a",        "&a",
           "!t",           "-",          "No",          "\x7f",      "0x10",
           "1e3",          ".5",         "%a",          "@a",        "`a"}) {
    const YamlNode node = parse_yaml("k: " + format_text(text), "t");
    ASSERT_EQ(node.entries.size(), 1u) << text;
    EXPECT_EQ(node.entries[0].value.kind, YamlNode::Kind::scalar) << text;
    EXPECT_EQ(node.entries[0].value.text, text);
  }
}

TEST(Nearest, FindsTypingMistakes) {
  constexpr std::string_view kKnown[] = {"steps", "microbatch", "global_batch", "lr"};
  EXPECT_EQ(nearest_name("stepz", kKnown), "steps");
  EXPECT_EQ(nearest_name("Steps", kKnown), "steps");
  EXPECT_EQ(nearest_name("micro_batch", kKnown), "microbatch");
  EXPECT_EQ(nearest_name("rl", kKnown), "lr");
  EXPECT_EQ(nearest_name("completely_else", kKnown), "");
  EXPECT_EQ(nearest_name(std::string(100000, 's'), kKnown), "");
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("ab", "ba"), 1);
  EXPECT_THAT(suggest_name("zzz", kKnown), testing::HasSubstr("expected one of steps, "));
}

TEST(Utf8, FindsTheFirstBadByte) {
  EXPECT_EQ(find_bad_text("a\tb\nü日😀"), std::string_view("a\tb\nü日😀").size());
  for (const std::string& bad :
       {std::string("ab\0", 3), std::string("ab\xff"), std::string("ab\xc3"),
        std::string("ab\xc0\x80"), std::string("ab\xed\xa0\x80"), std::string("ab\xf4\x90\x80\x80"),
        std::string("ab\xe0\x80\x80"), std::string("ab\x1b[0m"), std::string("ab\x80")})
    EXPECT_EQ(find_bad_text(bad), 2u);
}

}  // namespace
}  // namespace outsize
