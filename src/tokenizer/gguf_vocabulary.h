// The tokenizer.* keys of a GGUF file, typed and checked. llama.cpp's defaults stand in for absent
// ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "tokenizer/tokenizer.h"

namespace outsize {

// Values of tokenizer.ggml.token_type.
enum class GgufTokenType : std::int32_t {
  Normal = 1,
  Unknown = 2,
  Control = 3,
  UserDefined = 4,
  Unused = 5,
  Byte = 6,
};

struct GgufVocabulary {
  std::string file;                 // name for messages
  std::string model;                // "llama", "gpt2", …
  std::string pre;                  // label of the split patterns; "default" when absent
  std::vector<std::string> tokens;  // by id; empty ones are named "[EMPTY_id]"
  std::vector<GgufTokenType> types;
  std::vector<float> scores;        // as many as tokens, or none
  std::vector<std::string> merges;  // "a b", best first
  TokenId bos = -1, eos = -1, unk = -1, pad = -1, eot = -1;
  int add_bos = -1;           // 1, 0, or -1 when not said
  int add_space_prefix = -1;  // the same
  std::string chat_template;
};

// Throws InvalidArgument when a key is missing, of the wrong type or length, or an id is out of
// range.
GgufVocabulary read_gguf_vocabulary(const GgufFile& file);

}  // namespace outsize
