// What every tokenizer answers from tables: the bytes of each token, special ids, the chat
// template, decoding. Kinds add encode().
#pragma once

#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace outsize {

struct TokenTables {
  std::vector<std::string> bytes;  // by id; special tokens: their text
  std::vector<bool> special;       // by id, same size
  TokenId bos = -1, eos = -1;
  std::vector<TokenId> stops;  // further ids that end a completion
  bool adds_bos = false;
  bool strips_space = false;  // encode() puts a space before the text; decode() takes it away
  std::string chat_template;
};

class TableTokenizer : public Tokenizer {
 public:
  using Tokenizer::encode;
  std::string token_bytes(TokenId id) const override;
  std::string decode(std::span<const TokenId> ids, bool skip_special) const override;
  std::int64_t vocabulary_size() const override;
  bool is_special(TokenId id) const override;
  TokenId bos_id() const override { return tables_.bos; }
  TokenId eos_id() const override { return tables_.eos; }
  std::vector<TokenId> stop_ids() const override;
  bool adds_bos() const override { return tables_.adds_bos; }
  const std::string& chat_template() const override { return tables_.chat_template; }

 protected:
  explicit TableTokenizer(TokenTables tables) : tables_(std::move(tables)) {}
  bool in_range(TokenId id) const;
  // Throws InvalidArgument where offsets would not fit (2 GiB and more).
  static void check_text_size(std::string_view text);

 private:
  TokenTables tables_;
};

}  // namespace outsize
