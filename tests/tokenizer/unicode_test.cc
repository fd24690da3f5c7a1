// UTF-8 repair, character classes, normal forms.
#include "tokenizer/unicode.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include "tokenizer/samples.h"
#include "tokenizer/utf8.h"

namespace outsize {
namespace {

TEST(Utf8, RepairsMaximalParts) {
  // Examples of the Unicode standard, table 3-8.
  EXPECT_EQ(repair_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\x41");
  EXPECT_EQ(repair_utf8("\xED\xA0\x80\xF4\x91\x92\x93\xFF"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(repair_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), "\uFFFD\uFFFD\uFFFD\uFFFD\x41");
  EXPECT_EQ(repair_utf8_like_llama_cpp("\xE1\x80\x41\xF8\xC3\xA9"), "\uFFFD\uFFFD\x41\uFFFDé");
}

TEST(Utf8, EveryScalarValueSurvives) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(c, text);
    ASSERT_TRUE(is_valid_utf8(text));
    ASSERT_EQ(decode_utf8(text, 0).value, c);
    ASSERT_EQ(static_cast<std::size_t>(decode_utf8(text, 0).bytes), text.size());
    ASSERT_FALSE(is_valid_utf8(std::string_view(text).substr(0, text.size() - 1)) &&
                 text.size() > 1);
  }
}

TEST(Classes, KnowLettersNumbersSpaces) {
  const CharClass* classes = char_classes();
  EXPECT_EQ(classes['a'], CharClass::Letter);
  EXPECT_EQ(classes[0x8A9E], CharClass::Letter);
  EXPECT_EQ(classes[0x2EBF0], CharClass::Letter);  // Unicode 15.1
  EXPECT_EQ(classes[0x216B], CharClass::Number);
  EXPECT_EQ(classes[0x85], CharClass::Space);
  EXPECT_EQ(classes[0x180E], CharClass::Other);
  EXPECT_EQ(classes[0x301], CharClass::Other);
  EXPECT_EQ(classes['_'], CharClass::Other);
}

std::string by_utf8proc(const std::string& text) {
  utf8proc_uint8_t* out = nullptr;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                   static_cast<utf8proc_ssize_t>(text.size()), &out, options);
  std::string result(reinterpret_cast<char*>(out), static_cast<std::size_t>(length));
  free(out);
  return result;
}

TEST(Normalize, EqualsUtf8proc) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 20'000; ++round) {
    const std::string text = random_text(random, 20);
    ASSERT_EQ(normalize(text, NormalForm::Nfc), by_utf8proc(text));
  }
}

TEST(Normalize, Examples) {
  EXPECT_EQ(normalize("e\u0301 \u212B \u1100\u1161\u11A8", NormalForm::Nfc), "é Å 각");
  EXPECT_EQ(normalize("a\u0301\u0323", NormalForm::Nfd), "a\u0323\u0301");
  EXPECT_EQ(normalize("\uFB01①", NormalForm::Nfkc), "fi1");
  EXPECT_EQ(normalize("\uFDFA", NormalForm::Nfkd).size(), 33u);
  // Marks of Unicode 12 are neither moved nor crossed, as in the tokenizers library.
  EXPECT_EQ(normalize("e\u0EBA\u0301", NormalForm::Nfc), "e\u0EBA\u0301");
}

TEST(Normalize, LongRunsOfMarksAreSorted) {
  std::string text = "a";
  for (int i = 0; i < 200'000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0323";
  const std::string composed = normalize(text, NormalForm::Nfc);
  EXPECT_TRUE(composed.starts_with("\u1EA1\u0323"));
  EXPECT_TRUE(composed.ends_with("\u0301\u0301"));
}

}  // namespace
}  // namespace outsize
