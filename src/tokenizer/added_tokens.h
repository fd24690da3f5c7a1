// Cuts text at the special and added tokens written in it, in the two ways of the peers: the
// tokenizers library takes the leftmost longest match, llama.cpp the longest token anywhere first.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/token_trie.h"
#include "tokenizer/tokenizer.h"

namespace outsize {

// A stretch of text: a token, or with id < 0 text still to be tokenized.
struct TextPart {
  std::size_t begin, end;
  TokenId id;
};

struct AddedToken {
  TokenId id;
  std::string text;
  bool special = false;
  bool left_strip = false, right_strip = false;  // takes white space on that side with it
  bool single_word = false;                      // only where no word character touches it
  bool normalized = false;                       // searched for in normalized text
};

// The tokens of a tokenizer.json, either those searched for before normalization or after.
class AddedTokenFinder {
 public:
  void add(AddedToken token);
  // `text` is valid UTF-8. Without parse_special a special token is found but left as text.
  std::vector<TextPart> split(std::string_view text, bool parse_special) const;

 private:
  bool fits_word(std::string_view text, const TextPart& match) const;

  std::vector<AddedToken> tokens_;
  TokenTrie trie_;
};

// The control, unknown and user-defined tokens of a GGUF vocabulary.
class GgufTokenFinder {
 public:
  struct Token {
    TokenId id;
    std::string text;
    bool control;  // or unknown: only with parse_special
  };
  // Given in order of their ids.
  explicit GgufTokenFinder(std::vector<Token> tokens);
  std::vector<TextPart> split(std::string_view text, bool parse_special) const;

 private:
  void split_cluster(std::string_view text, std::size_t begin, std::size_t end,
                     std::vector<std::int32_t>& present, std::vector<TextPart>& parts) const;

  std::vector<Token> tokens_;  // the longest first
  TokenTrie all_, user_;       // values are places in tokens_
};

}  // namespace outsize
