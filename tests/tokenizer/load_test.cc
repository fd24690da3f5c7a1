// What stands beside the vocabulary: special ids, chat templates, defaults, and files that are
// refused with the reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "tokenizer/gguf_tokenizer.h"
#include "tokenizer/hf_tokenizer.h"
#include "tokenizer/samples.h"

namespace outsize {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class HfFolder : public testing::Test {
 protected:
  void SetUp() override { write("tokenizer.json", small_tokenizer_json()); }
  void write(const std::string& name, const std::string& text) {
    write_file(folder_.path() / name, text);
  }
  std::unique_ptr<Tokenizer> load() const { return load_tokenizer(folder_.path()); }
  std::string error() const {
    try {
      load();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  // tokenizer.json with one value replaced.
  void change(const std::string& pointer, const json& value) {
    json root = json::parse(small_tokenizer_json());
    root[json::json_pointer(pointer)] = value;
    write("tokenizer.json", root.dump());
  }

  TemporaryFolder folder_;
};

TEST_F(HfFolder, TokenizerJsonAlone) {
  const auto tokenizer = load();
  EXPECT_EQ(tokenizer->bos_id(), 9);
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->eos_id(), -1);
  EXPECT_THAT(tokenizer->stop_ids(), IsEmpty());
  EXPECT_EQ(tokenizer->chat_template(), "");
  EXPECT_EQ(tokenizer->vocabulary_size(), 12);
  EXPECT_THAT(tokenizer->encode("abc ab<s> <é> a", true), ElementsAre(6, 2, 4, 9, 2, 11, 2, 0));
}

TEST_F(HfFolder, TokenizerConfig) {
  write("tokenizer_config.json",
        R"({"bos_token":{"content":"a"},"eos_token":"</s>","add_bos_token":false,
            "chat_template":[{"name":"tool","template":"x"},{"name":"default","template":"y"}]})");
  write("generation_config.json", R"({"eos_token_id":[4,10],"bos_token_id":3})");
  write("config.json", R"({"eos_token_id":5})");
  const auto tokenizer = load();
  EXPECT_EQ(tokenizer->bos_id(), 0);
  EXPECT_FALSE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->eos_id(), 10);
  EXPECT_THAT(tokenizer->stop_ids(), ElementsAre(10, 4, 5));
  EXPECT_EQ(tokenizer->chat_template(), "y");
  write("chat_template.jinja", "z");
  EXPECT_EQ(load()->chat_template(), "z");
}

TEST_F(HfFolder, EosOfConfigWhenTheTokenizerNamesNone) {
  write("config.json", R"({"eos_token_id":5})");
  EXPECT_EQ(load()->eos_id(), 5);
}

TEST_F(HfFolder, RefusesWithTheReason) {
  change("/model/type", "Unigram");
  EXPECT_THAT(error(), HasSubstr("expected BPE"));
  change("/model/merges/0", "a q");
  EXPECT_THAT(error(), HasSubstr("not in model.vocab"));
  change("/model/merges/0", "ab");
  EXPECT_THAT(error(), HasSubstr("must be two parts"));
  change("/model/merges/0", json::array({"a"}));
  EXPECT_THAT(error(), HasSubstr("must be two parts"));
  change("/model/merges/0", 5);
  EXPECT_THAT(error(), HasSubstr("must be text or two texts"));
  change("/model/vocab/a", "x");
  EXPECT_THAT(error(), HasSubstr("whole number"));
  change("/model/vocab/a", -1);
  EXPECT_THAT(error(), HasSubstr("out of range"));
  change("/model/vocab/a", 1'000'000'000);
  EXPECT_THAT(error(), HasSubstr("do not fit"));
  change("/model/vocab", json::object());
  EXPECT_THAT(error(), HasSubstr("model.vocab"));
  change("/model/dropout", 0.1);
  EXPECT_THAT(error(), HasSubstr("dropout"));
  change("/model/end_of_word_suffix", "</w>");
  EXPECT_THAT(error(), HasSubstr("end_of_word_suffix"));
  change("/normalizer", json{{"type", "Lowercase"}});
  EXPECT_THAT(error(), HasSubstr("normalizer.type"));
  change("/added_tokens/0/id", "9");
  EXPECT_THAT(error(), HasSubstr("added_tokens.id"));
  write("tokenizer.json", "{");
  EXPECT_THAT(error(), HasSubstr("not valid JSON"));
  write("tokenizer.json", std::string(100'000, '['));
  EXPECT_THAT(error(), HasSubstr("deeper"));
  write("tokenizer.json", "[]");
  EXPECT_THAT(error(), HasSubstr("must be an object"));
}

TEST_F(HfFolder, RefusesBadSettings) {
  write("tokenizer_config.json", R"({"add_bos_token":"yes"})");
  EXPECT_THAT(error(), HasSubstr("add_bos_token"));
  write("tokenizer_config.json", "{}");
  write("generation_config.json", R"({"eos_token_id":-7})");
  EXPECT_THAT(error(), HasSubstr("eos_token_id"));
}

TEST(Load, RefusesOtherPaths) {
  TemporaryFolder folder;
  EXPECT_THROW(load_tokenizer(folder.path()), Error);
  EXPECT_THROW(load_tokenizer(folder.path() / "absent.gguf"), Error);
  write_file(folder.path() / "x", "GGUF");
  EXPECT_THROW(load_tokenizer(folder.path() / "x"), Error);
}

TEST(Load, GgufSettings) {
  const auto tokenizer = load_tokenizer(data_folder() / "spm.gguf");
  EXPECT_EQ(tokenizer->bos_id(), 1);
  EXPECT_EQ(tokenizer->eos_id(), 2);  // llama.cpp's default for this model
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->token_bytes(tokenizer->encode("\n").front()), "\n");
  EXPECT_FALSE(load_tokenizer(data_folder() / "qwen2.gguf")->adds_bos());
}

class GgufKeys : public testing::Test {
 protected:
  // Loads the small vocabulary with one key replaced (or removed).
  std::string error_with(const std::string& key, std::optional<GgufValue> value) {
    GgufMetadata metadata;
    const GgufFile original((data_folder() / base_).string());
    for (const auto& entry : original.metadata()) {
      if (entry.first != key) metadata.push_back(entry);
    }
    if (value) metadata.emplace_back(key, *value);
    const std::string path = folder_.path() / "x.gguf";
    GgufWriter(path, metadata, {}).finish();
    try {
      load_tokenizer(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  std::string base_ = "spm.gguf";
  TemporaryFolder folder_;
};

TEST_F(GgufKeys, RefusedWithTheReason) {
  const std::vector<float> few(3, 0.0f);
  std::vector<float> nan(1600, 0.0f);
  nan[7] = std::nanf("");
  EXPECT_THAT(error_with("tokenizer.ggml.scores", std::nullopt), HasSubstr("scores is missing"));
  EXPECT_THAT(error_with("tokenizer.ggml.scores", GgufValue::of_f32s(few)), HasSubstr("per token"));
  EXPECT_THAT(error_with("tokenizer.ggml.scores", GgufValue::of_f32s(nan)), HasSubstr("finite"));
  EXPECT_THAT(error_with("tokenizer.ggml.model", GgufValue::of_text("rwkv")),
              HasSubstr("expected llama or gpt2"));
  EXPECT_THAT(error_with("tokenizer.ggml.model", std::nullopt), HasSubstr("tokenizer.ggml.model"));
  EXPECT_THAT(error_with("tokenizer.ggml.tokens", GgufValue::of_u32(1)), HasSubstr("tokens"));
  EXPECT_THAT(error_with("tokenizer.ggml.token_type", GgufValue::of_i32s({})),
              HasSubstr("token_type"));
  EXPECT_THAT(error_with("tokenizer.ggml.bos_token_id", GgufValue::of_u32(4'000'000'000u)), "");
  base_ = "gpt2.gguf";
  EXPECT_THAT(error_with("tokenizer.ggml.pre", GgufValue::of_text("odd")), HasSubstr("'odd'"));
  EXPECT_THAT(
      error_with("tokenizer.ggml.merges", GgufValue::of_texts(std::vector<std::string>{"q"})),
      HasSubstr("merge 0"));
}

}  // namespace
}  // namespace outsize
