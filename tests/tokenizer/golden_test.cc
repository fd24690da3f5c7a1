// Ids of the small vocabularies in data/ against those that the tokenizers library and llama.cpp
// gave (make_goldens.py).
#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "formats/json.h"
#include "tokenizer/samples.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace outsize {
namespace {

using Ids = std::vector<TokenId>;

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, IdsEqualThePeers) {
  const auto tokenizer = load_tokenizer(data_folder() / GetParam());
  const auto golden =
      read_json((data_folder() / (std::string(GetParam()) + ".golden.json")).string());
  const std::vector<std::string> texts = sample_texts();
  ASSERT_GE(texts.size(), 350u);
  ASSERT_EQ(golden["special"].size(), texts.size());
  ASSERT_GT(golden["plain_where_it_differs"].size(), 0u);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Ids special = golden["special"][i];
    const auto& differing = golden["plain_where_it_differs"];
    const auto plain = differing.find(std::to_string(i));
    ASSERT_EQ(tokenizer->encode(texts[i], true), special) << "text " << i << ": " << texts[i];
    ASSERT_EQ(tokenizer->encode(texts[i], false), plain == differing.end() ? special : Ids(*plain))
        << "text " << i << ": " << texts[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, Golden,
                         testing::Values("gpt2", "llama3", "qwen2", "mixed", "spm", "gpt2.gguf",
                                         "llama3.gguf", "qwen2.gguf", "spm.gguf"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

class RoundTrip : public testing::TestWithParam<const char*> {};

// Byte-level and byte-fallback vocabularies lose nothing.
TEST_P(RoundTrip, DecodingGivesTheTextBack) {
  const auto tokenizer = load_tokenizer(data_folder() / GetParam());
  for (const std::string& text : sample_texts()) {
    // Stripped spaces are lost, and U+2581 reads back as a space.
    const bool lossy = text.find("<R>") != std::string::npos ||
                       text.find("<L>") != std::string::npos || text.find("▁") != std::string::npos;
    if (lossy) continue;
    const Ids ids = tokenizer->encode(text, true);
    ASSERT_EQ(tokenizer->decode(ids, false), text);
    std::string joined;
    for (const TokenId id : ids) joined += tokenizer->token_bytes(id);
    // A tokenizer that puts a space before the text takes it away only when decoding the whole.
    ASSERT_TRUE(joined == text || joined.ends_with(text) || text.find('<') != std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, RoundTrip,
                         testing::Values("gpt2", "llama3", "gpt2.gguf", "llama3.gguf", "qwen2.gguf",
                                         "spm.gguf"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

TEST(Decode, SkipsControlTokensWhenAsked) {
  const auto tokenizer = load_tokenizer(data_folder() / "qwen2");
  const Ids ids = tokenizer->encode("<|im_start|>hi<|im_end|>", true);
  EXPECT_EQ(tokenizer->decode(ids, true), "hi");
  EXPECT_EQ(tokenizer->decode(ids, false), "<|im_start|>hi<|im_end|>");
  EXPECT_TRUE(tokenizer->is_special(ids.front()));
  EXPECT_FALSE(tokenizer->is_special(ids[1]));
  const TokenId outside[] = {-1, static_cast<TokenId>(tokenizer->vocabulary_size()), 1 << 30};
  EXPECT_EQ(tokenizer->decode(outside, false), "");
  EXPECT_EQ(tokenizer->token_bytes(-5), "");
}

TEST(Encode, RepairsInvalidUtf8AsThePeersDo) {
  const auto hf = load_tokenizer(data_folder() / "gpt2");
  EXPECT_EQ(hf->encode("a\xE3\x81z"), hf->encode("a\uFFFDz"));
  const auto gguf = load_tokenizer(data_folder() / "gpt2.gguf");
  EXPECT_EQ(gguf->encode("a\xE3\x81z"), gguf->encode("a\uFFFD\uFFFDz"));
  const auto spm = load_tokenizer(data_folder() / "spm.gguf");
  EXPECT_EQ(spm->decode(spm->encode("a\xE3\x81z\xFF"), false), "a\xE3\x81z\xFF");
}

TEST(Encode, FromSeveralThreads) {
  const std::vector<std::string> texts = sample_texts();
  for (const char* name : {"mixed", "spm.gguf"}) {
    const auto tokenizer = load_tokenizer(data_folder() / name);
    std::vector<Ids> expected;
    for (const std::string& text : texts) expected.push_back(tokenizer->encode(text, true));
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int round = 0; round < 5; ++round) {
          for (std::size_t i = 0; i < texts.size(); ++i) {
            if (tokenizer->encode(texts[i], true) != expected[i]) ++wrong;
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
  }
}

// Quadratic time would take hours here.
TEST(Encode, LongRunsTakeLinearTime) {
  for (const std::string name :
       {"gpt2", "llama3", "qwen2", "mixed", "spm", "gpt2.gguf", "spm.gguf"}) {
    const auto tokenizer = load_tokenizer(data_folder() / name);
    // The others normalize, or add a space after every special token.
    const bool lossless = name != "qwen2" && name != "mixed" && name != "spm";
    for (const std::string run : {"a", " ", "\n", "7", "=", "\u0301", "語", " \n", "<|im_end|>"}) {
      std::string text;
      while (text.size() < 1'000'000) text += run;
      const Ids ids = tokenizer->encode(text, true);
      ASSERT_GE(ids.size(), 10'000u);
      ASSERT_TRUE(!lossless || tokenizer->decode(ids, false) == text) << name << " '" << run << "'";
    }
  }
}

}  // namespace
}  // namespace outsize
