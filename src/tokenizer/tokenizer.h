// Text to token ids and back. One implementation per tokenizer kind; load_tokenizer picks it.
// Ids equal those of the tokenizers library (tokenizer.json) and llama.cpp (GGUF vocabularies).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace outsize {

using TokenId = std::int32_t;

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Appends the ids of `text` to `out`. With parse_special, special (control) tokens written in the
  // text become their ids; without, they are ordinary text. Added tokens that are not special
  // (user-defined ones) are found either way, as in both peers. Adds neither BOS nor EOS. Any bytes
  // are accepted (invalid UTF-8 as the peer does it). Time O(n log n) at worst; thread-safe. Throws
  // InvalidArgument for texts above 1 GiB, Unsupported when a file's own regex is too costly.
  virtual void encode(std::string_view text, bool parse_special,
                      std::vector<TokenId>& out) const = 0;
  // Bytes of one token, special tokens as their text; empty when the id is out of range.
  virtual std::string token_bytes(TokenId id) const = 0;

  std::vector<TokenId> encode(std::string_view text, bool parse_special = false) const;
  // Concatenated bytes; with skip_special, control tokens are left out.
  virtual std::string decode(std::span<const TokenId> ids, bool skip_special) const = 0;

  virtual std::int64_t vocabulary_size() const = 0;
  virtual bool is_special(TokenId id) const = 0;
  // -1 when the model has none.
  virtual TokenId bos_id() const = 0;
  // Ends a completion; -1 when none.
  virtual TokenId eos_id() const = 0;
  // All ids that end a completion: eos_id() first, then those of generation_config.json, or the
  // end-of-turn tokens of a GGUF file. Empty when there is none.
  virtual std::vector<TokenId> stop_ids() const = 0;
  // Whether the model expects BOS before the first token.
  virtual bool adds_bos() const = 0;
  // Jinja source; empty when the model carries none.
  virtual const std::string& chat_template() const = 0;
};

// `model` is a Hugging Face folder (tokenizer.json, tokenizer_config.json) or a GGUF file.
// Throws InvalidArgument, Unsupported or Corruption naming file and field.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model);

}  // namespace outsize
