// The tokenizer of a Hugging Face folder: tokenizer.json says how, tokenizer_config.json,
// generation_config.json and config.json say which tokens begin and end a text.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_json.h"

namespace outsize {

// What stands beside tokenizer.json. Absent files and fields leave the defaults.
struct HfSettings {
  std::string bos, eos, unk, pad;  // token texts
  std::vector<TokenId> stops;      // eos_token_id of generation_config.json, then config.json
  TokenId config_bos = -1;         // bos_token_id of the same
  int add_bos = -1;                // add_bos_token: 1, 0, or -1 when not said
  std::string chat_template;
};

// Throws InvalidArgument or Corruption naming file and field.
HfSettings read_hf_settings(const std::filesystem::path& folder);

std::unique_ptr<Tokenizer> make_hf_tokenizer(const TokenizerJson& parsed,
                                             const HfSettings& settings);
bool is_hf_tokenizer(const std::filesystem::path& model);
std::unique_ptr<Tokenizer> load_hf_tokenizer(const std::filesystem::path& model);

// Id of a token by its text among vocabulary and added tokens; -1 when absent or empty.
TokenId find_token(const TokenizerJson& parsed, std::string_view text);
// The token the post-processor puts before every text; -1 when none.
TokenId leading_token(const TokenizerJson& parsed);

}  // namespace outsize
