// A tokenizer.json taken apart: the vocabulary and merges (hundreds of thousands of entries) go
// straight into lists as they are parsed, only the rest becomes a JSON tree.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/tokenizer.h"

namespace outsize {

struct TokenizerJson {
  std::string file;                                         // name for messages
  std::vector<std::pair<std::string, TokenId>> vocabulary;  // model.vocab
  std::vector<std::pair<std::string, std::string>> merges;  // model.merges, best first
  std::vector<AddedToken> added;                            // added_tokens
  std::shared_ptr<const nlohmann::json> rest;               // without the first two
  std::int64_t size = 0;                                    // largest id + 1

  // A member of the root, or a null value.
  const nlohmann::json& at(std::string_view field) const;
};

// Throws Corruption when the text is not JSON, InvalidArgument when a field is missing, of the
// wrong type or out of range (ids far above the number of tokens included), Unsupported for models
// that are not BPE.
TokenizerJson parse_tokenizer_json(std::string_view text, const std::string& file);
TokenizerJson read_tokenizer_json(const std::string& path);

}  // namespace outsize
