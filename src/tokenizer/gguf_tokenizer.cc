#include "tokenizer/gguf_tokenizer.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

#include "core/error.h"

namespace outsize {

namespace {

struct Model {
  const char* name;
  std::unique_ptr<Tokenizer> (*make)(const GgufVocabulary&);
};
constexpr Model kModels[] = {
    {"llama", make_gguf_spm_tokenizer},
    {"gpt2", make_gguf_bpe_tokenizer},
};

// Control tokens that end a turn whatever the file says about eos, as llama.cpp finds them by name.
constexpr std::string_view kTurnEnds[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>",
    "<|eom_id|>", "<|EOT|>",    "<|eot|>", "<|endoftext|>",
};

// llama.cpp takes these for control tokens whatever type the file gives them…
constexpr std::string_view kControlNames[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    "<|fim_prefix|>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<｜fim▁begin｜>",
    "<PRE>",
    "▁<PRE>",
    "<|code_prefix|>",
    "<|prefix|>",
    "<|fim_suffix|>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<｜fim▁hole｜>",
    "<SUF>",
    "▁<SUF>",
    "<|code_suffix|>",
    "<|suffix|>",
    "<|fim_middle|>",
    "<fim-middle>",
    "<fim_middle>",
    "<｜fim▁end｜>",
    "<MID>",
    "▁<MID>",
    "<|code_middle|>",
    "<|middle|>",
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
};
// …and these for user-defined ones.
constexpr std::string_view kUserDefinedNames[] = {
    "<|channel|>",
    "<|message|>",
    "<|start|>",
    "<|constrain|>",
};

template <std::size_t n>
bool is_among(const std::string_view (&names)[n], std::string_view text) {
  return std::find(std::begin(names), std::end(names), text) != std::end(names);
}

bool is_special_type(GgufTokenType type) {
  return type == GgufTokenType::Control || type == GgufTokenType::Unknown;
}

// The type by which llama.cpp searches for a token in text.
GgufTokenType effective_type(const std::string& text, GgufTokenType type) {
  if (is_among(kUserDefinedNames, text)) return GgufTokenType::UserDefined;
  return is_among(kControlNames, text) ? GgufTokenType::Control : type;
}

}  // namespace

GgufTokenFinder make_gguf_token_finder(const GgufVocabulary& vocabulary) {
  std::vector<GgufTokenFinder::Token> tokens;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const GgufTokenType type = effective_type(vocabulary.tokens[id], vocabulary.types[id]);
    const bool control = is_special_type(type);
    if (!control && type != GgufTokenType::UserDefined) continue;
    tokens.push_back({static_cast<TokenId>(id), vocabulary.tokens[id], control});
  }
  return GgufTokenFinder(std::move(tokens));
}

TokenTables make_gguf_tables(const GgufVocabulary& vocabulary) {
  TokenTables tables;
  tables.bytes = vocabulary.tokens;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const bool special = is_special_type(vocabulary.types[id]);
    tables.special.push_back(special);
    if (special && is_among(kTurnEnds, vocabulary.tokens[id])) {
      tables.stops.push_back(static_cast<TokenId>(id));
    }
  }
  tables.bos = vocabulary.bos;
  tables.eos = vocabulary.eos;
  if (vocabulary.eot >= 0) tables.stops.push_back(vocabulary.eot);
  tables.chat_template = vocabulary.chat_template;
  return tables;
}

std::unique_ptr<Tokenizer> make_gguf_tokenizer(const GgufVocabulary& vocabulary) {
  for (const Model& model : kModels) {
    if (vocabulary.model == model.name) return model.make(vocabulary);
  }
  fail(ErrorKind::Unsupported, "[{}] tokenizer.ggml.model; got '{}'; expected llama or gpt2",
       vocabulary.file, vocabulary.model);
}

bool is_gguf_tokenizer(const std::filesystem::path& model) {
  std::ifstream file(model, std::ios::binary);
  std::array<char, 4> magic{};
  file.read(magic.data(), magic.size());
  return file.good() && std::string_view(magic.data(), magic.size()) == "GGUF";
}

std::unique_ptr<Tokenizer> load_gguf_tokenizer(const std::filesystem::path& model) {
  const GgufFile file(model.string());
  return make_gguf_tokenizer(read_gguf_vocabulary(file));
}

}  // namespace outsize
