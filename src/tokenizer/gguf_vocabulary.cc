#include "tokenizer/gguf_vocabulary.h"

#include <fmt/core.h>

#include <cmath>

namespace outsize {

namespace {

constexpr std::int64_t kMaxTokens = std::int64_t{1} << 30;

int flag(const GgufFile& file, const char* key) {
  return file.has(key) ? static_cast<int>(file.boolean(key)) : -1;
}

std::vector<std::string> texts_or_none(const GgufFile& file, const char* key) {
  std::vector<std::string> out;
  if (!file.has(key)) return out;
  const GgufValue& values = file.texts(key);
  out.reserve(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) out.emplace_back(*values.text(i));
  return out;
}

std::vector<GgufTokenType> read_types(const GgufFile& file, std::size_t count) {
  constexpr const char* kKey = "tokenizer.ggml.token_type";
  if (!file.has(kKey)) return std::vector<GgufTokenType>(count, GgufTokenType::Normal);
  const std::vector<std::int64_t> values = file.integers(kKey);
  if (values.size() != count) file.fail_key(kKey, "must have one entry per token");
  std::vector<GgufTokenType> types;
  types.reserve(count);
  for (const std::int64_t value : values) {
    // llama.cpp ignores numbers it does not know.
    const bool known = value >= 1 && value <= 6;
    types.push_back(known ? static_cast<GgufTokenType>(value) : GgufTokenType::Normal);
  }
  return types;
}

std::vector<float> read_scores(const GgufFile& file, std::size_t count) {
  constexpr const char* kKey = "tokenizer.ggml.scores";
  if (!file.has(kKey)) return {};
  std::vector<float> scores = file.numbers(kKey);
  if (scores.size() != count) file.fail_key(kKey, "must have one entry per token");
  for (const float score : scores) {
    if (!std::isfinite(score)) file.fail_key(kKey, "holds a value that is not finite");
  }
  return scores;
}

}  // namespace

GgufVocabulary read_gguf_vocabulary(const GgufFile& file) {
  GgufVocabulary vocabulary;
  vocabulary.file = file.path();
  vocabulary.model = file.text("tokenizer.ggml.model");
  vocabulary.pre = file.text_or("tokenizer.ggml.pre", "default");
  file.texts("tokenizer.ggml.tokens");  // required
  vocabulary.tokens = texts_or_none(file, "tokenizer.ggml.tokens");
  const std::size_t count = vocabulary.tokens.size();
  if (count == 0 || count > kMaxTokens) file.fail_key("tokenizer.ggml.tokens", "has no tokens");
  for (std::size_t id = 0; id < count; ++id) {
    if (vocabulary.tokens[id].empty()) vocabulary.tokens[id] = fmt::format("[EMPTY_{}]", id);
  }
  vocabulary.types = read_types(file, count);
  vocabulary.scores = read_scores(file, count);
  vocabulary.merges = texts_or_none(file, "tokenizer.ggml.merges");
  const bool sentence_piece = vocabulary.model == "llama";
  const auto id_or = [&](const char* key, std::int64_t fallback) {
    // Some writers give 2^32 - 1 or a negative number for "none"; llama.cpp ignores such ids.
    const std::int64_t id = file.integer_or(key, fallback);
    return id >= 0 && id < static_cast<std::int64_t>(count) ? static_cast<TokenId>(id) : -1;
  };
  vocabulary.bos = id_or("tokenizer.ggml.bos_token_id", sentence_piece ? 1 : -1);
  vocabulary.eos = id_or("tokenizer.ggml.eos_token_id", sentence_piece ? 2 : -1);
  vocabulary.unk = id_or("tokenizer.ggml.unknown_token_id", sentence_piece ? 0 : -1);
  vocabulary.pad = id_or("tokenizer.ggml.padding_token_id", -1);
  vocabulary.eot = id_or("tokenizer.ggml.eot_token_id", -1);
  vocabulary.add_bos = flag(file, "tokenizer.ggml.add_bos_token");
  vocabulary.add_space_prefix = flag(file, "tokenizer.ggml.add_space_prefix");
  vocabulary.chat_template = file.text_or("tokenizer.chat_template", "");
  return vocabulary;
}

}  // namespace outsize
