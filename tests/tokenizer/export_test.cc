// Tokenizers carried from one format to the other keep their ids.
#include <gtest/gtest.h>

#include "core/error.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "tokenizer/samples.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_export.h"
#include "tokenizer/unicode.h"

namespace outsize {
namespace {

void expect_same_ids(const Tokenizer& a, const Tokenizer& b, const char* without) {
  std::mt19937_64 random(23);
  std::vector<std::string> texts = sample_texts();
  for (int i = 0; i < 2000; ++i) texts.push_back(random_text(random, 20));
  std::size_t compared = 0;
  for (const std::string& text : texts) {
    // llama.cpp's splitters do not fold U+017F to s, and it does not normalize.
    if (text.find("\u017F") != std::string::npos || text.find(without) != std::string::npos ||
        normalize(text, NormalForm::Nfc) != text) {
      continue;
    }
    ASSERT_EQ(a.encode(text, true), b.encode(text, true)) << text;
    ++compared;
  }
  EXPECT_GT(compared, 1500u);
  EXPECT_EQ(a.bos_id(), b.bos_id());
  EXPECT_EQ(a.adds_bos(), b.adds_bos());
  EXPECT_EQ(a.chat_template(), b.chat_template());
}

std::string write_gguf(const std::filesystem::path& model, const std::filesystem::path& path) {
  const auto rows = load_tokenizer(model)->vocabulary_size() + 3;
  GgufWriter(path.string(), tokenizer_gguf_metadata(model, rows), {}).finish();
  return path.string();
}

class Export : public testing::TestWithParam<const char*> {
 protected:
  TemporaryFolder folder_;
};

TEST_P(Export, FolderToGguf) {
  const std::filesystem::path model = data_folder() / GetParam();
  const auto carried = load_tokenizer(write_gguf(model, folder_.path() / "x.gguf"));
  const auto original = load_tokenizer(model);
  // <L>, <R>, <W> have flags that GGUF cannot hold.
  expect_same_ids(*original, *carried, "<");
  EXPECT_EQ(carried->vocabulary_size(), original->vocabulary_size() + 3);
}

TEST_P(Export, GgufToFolder) {
  const std::filesystem::path model = data_folder() / (std::string(GetParam()) + ".gguf");
  export_tokenizer_to_hf(model, folder_.path());
  expect_same_ids(*load_tokenizer(model), *load_tokenizer(folder_.path()), "</s>");
}

TEST_P(Export, GgufToGgufCarriesEveryKey) {
  const std::filesystem::path model = data_folder() / (std::string(GetParam()) + ".gguf");
  const GgufFile from(model.string());
  const GgufFile to(write_gguf(model, folder_.path() / "x.gguf"));
  std::size_t keys = 0;
  for (const auto& [key, value] : from.metadata()) {
    if (!key.starts_with("tokenizer.")) continue;
    ASSERT_NE(to.find(key), nullptr) << key;
    EXPECT_EQ(*to.find(key), value) << key;
    ++keys;
  }
  EXPECT_GE(keys, 5u);
}

TEST_P(Export, FolderToFolderCopies) {
  const std::filesystem::path model = data_folder() / GetParam();
  export_tokenizer_to_hf(model, folder_.path());
  EXPECT_EQ(read_file(model / "tokenizer.json"), read_file(folder_.path() / "tokenizer.json"));
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, Export, testing::Values("gpt2", "llama3", "qwen2", "spm"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(Export, ChatTemplateAndStopIds) {
  TemporaryFolder folder;
  const auto hf = folder.path() / "hf";
  std::filesystem::create_directories(hf);
  export_tokenizer_to_hf(data_folder() / "qwen2", hf);
  write_file(hf / "tokenizer_config.json",
             R"({"eos_token":"<|im_end|>","pad_token":"<|endoftext|>","add_bos_token":false,
                 "chat_template":"{% \"x\" %}\n\u00e9"})");
  write_file(hf / "generation_config.json", R"({"eos_token_id":[858,856]})");
  const std::string gguf = write_gguf(hf, folder.path() / "x.gguf");
  const auto original = load_tokenizer(hf), carried = load_tokenizer(gguf);
  EXPECT_EQ(carried->chat_template(), "{% \"x\" %}\né");
  EXPECT_EQ(carried->eos_id(), original->eos_id());
  const auto back = folder.path() / "back";
  std::filesystem::create_directories(back);
  export_tokenizer_to_hf(gguf, back);
  EXPECT_EQ(load_tokenizer(back)->chat_template(), "{% \"x\" %}\né");
  EXPECT_EQ(load_tokenizer(back)->eos_id(), original->eos_id());
}

TEST(Export, RefusesWhatGgufCannotSay) {
  EXPECT_THROW(tokenizer_gguf_metadata(data_folder() / "mixed", 1000), Error);
  EXPECT_THROW(tokenizer_gguf_metadata(data_folder() / "gpt2", 10), Error);
}

TEST(Export, RefusesTokensThatJsonCannotHold) {
  TemporaryFolder folder;
  for (const std::string& bad : {std::string("\xFF"), std::string("▁a")}) {
    std::vector<std::string> tokens{"<unk>", "<s>", "▁a", bad};
    const GgufMetadata metadata{
        {"tokenizer.ggml.model", GgufValue::of_text("llama")},
        {"tokenizer.ggml.tokens", GgufValue::of_texts(tokens)},
        {"tokenizer.ggml.scores", GgufValue::of_f32s(std::vector<float>(4, 0.0f))},
    };
    const std::string path = folder.path() / "x.gguf";
    GgufWriter(path, metadata, {}).finish();
    EXPECT_THROW(export_tokenizer_to_hf(path, folder.path()), Error);
  }
}

}  // namespace
}  // namespace outsize
