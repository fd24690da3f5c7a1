// Tokenizers of GGUF files, with the ids of llama.cpp. One file per tokenizer.ggml.model.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/gguf_vocabulary.h"
#include "tokenizer/known_split.h"
#include "tokenizer/table_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace outsize {

// What a tokenizer.ggml.pre label stands for.
struct GgufPattern {
  const char* label;
  KnownPattern pattern;
  bool digits_first;  // \p{N} is cut off before the pattern runs
  bool ignore_merges;
  bool adds_bos;  // when the file does not say
};
// Null for labels that are not known.
const GgufPattern* find_gguf_pattern(std::string_view label);

// model "llama": SentencePiece-style. Throws InvalidArgument when scores are missing.
std::unique_ptr<Tokenizer> make_gguf_spm_tokenizer(const GgufVocabulary& vocabulary);
// model "gpt2": byte-level BPE. Throws Unsupported for unknown labels, InvalidArgument for merges
// whose parts are not tokens.
std::unique_ptr<Tokenizer> make_gguf_bpe_tokenizer(const GgufVocabulary& vocabulary);
// Either, by model. Throws Unsupported for others.
std::unique_ptr<Tokenizer> make_gguf_tokenizer(const GgufVocabulary& vocabulary);

bool is_gguf_tokenizer(const std::filesystem::path& model);
std::unique_ptr<Tokenizer> load_gguf_tokenizer(const std::filesystem::path& model);

// Parts that both kinds share: tokens found in the text, and everything but the bytes and adds_bos.
GgufTokenFinder make_gguf_token_finder(const GgufVocabulary& vocabulary);
TokenTables make_gguf_tables(const GgufVocabulary& vocabulary);

}  // namespace outsize
