// The tokenizer.* keys of a GGUF file: carried from another GGUF file, or made from a
// tokenizer.json.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "tokenizer/gguf_tokenizer.h"
#include "tokenizer/hf_tokenizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/spelling.h"
#include "tokenizer/string_index.h"
#include "tokenizer/tokenizer_export.h"

namespace outsize {

namespace {

using nlohmann::json;

constexpr std::string_view kPrefix = "tokenizer.";
// Of tokens that no merge makes; below every rank.
constexpr float kWorstScore = -1e6f;

GgufMetadata carry_keys(const std::filesystem::path& model) {
  const GgufFile file(model.string());
  read_gguf_vocabulary(file);  // refuses what could not be read back
  GgufMetadata kept;
  for (const auto& entry : file.metadata()) {
    if (entry.first.starts_with(kPrefix)) kept.push_back(entry);
  }
  return kept;
}

// Token lists under construction.
struct TokenLists {
  std::vector<std::string> texts;
  std::vector<GgufTokenType> types;
};

TokenLists make_lists(const TokenizerJson& parsed, std::int64_t rows) {
  if (parsed.size > rows) {
    fail(ErrorKind::InvalidArgument, "[{}] more tokens than embedding rows; got {}; expected {}",
         parsed.file, parsed.size, rows);
  }
  TokenLists lists;
  for (std::int64_t id = 0; id < rows; ++id) lists.texts.push_back(fmt::format("[PAD{}]", id));
  lists.types.assign(rows, GgufTokenType::Unused);
  for (const auto& [text, id] : parsed.vocabulary) {
    lists.texts[id] = text;
    lists.types[id] = GgufTokenType::Normal;
  }
  for (const AddedToken& token : parsed.added) {
    lists.texts[token.id] = token.text;
    lists.types[token.id] = token.special ? GgufTokenType::Control : GgufTokenType::UserDefined;
  }
  return lists;
}

std::vector<std::string> merge_texts(const TokenizerJson& parsed) {
  std::vector<std::string> merges;
  merges.reserve(parsed.merges.size());
  for (const auto& [left, right] : parsed.merges)
    merges.push_back(std::string(left).append(" ").append(right));
  return merges;
}

// The label under which llama.cpp cuts text as this file says.
const char* label_of(const TokenizerJson& parsed, KnownPattern pattern) {
  const JsonFields model(parsed.at("model"), parsed.file, "model.");
  const bool ignore_merges = model.boolean_or("ignore_merges", false);
  for (const char* label : {"gpt-2", "llama-bpe", "qwen2"}) {
    const GgufPattern* candidate = find_gguf_pattern(label);
    if (candidate->pattern == pattern && candidate->ignore_merges == ignore_merges) return label;
  }
  fail(ErrorKind::Unsupported,
       "[{}] pre_tokenizer has no label in GGUF; expected the pattern of GPT-2, Llama 3 or Qwen2",
       parsed.file);
}

// llama.cpp does not normalize; NFC is let pass, as its own converter does.
void check_normalizer(const TokenizerJson& parsed) {
  const json& normalizer = parsed.at("normalizer");
  if (normalizer.is_null()) return;
  const std::string type = JsonFields(normalizer, parsed.file, "normalizer.").text("type");
  if (type != "NFC") {
    fail(ErrorKind::Unsupported, "[{}] normalizer cannot be expressed in GGUF; got '{}'",
         parsed.file, type);
  }
}

// Whether the file writes spaces as U+2581 and nothing else, and puts one before the text. Throws
// Unsupported for any other normalization.
bool has_space_prefix(const TokenizerJson& parsed) {
  bool prefix = false, marks = false;
  std::vector<const json*> steps;
  const json& normalizer = parsed.at("normalizer");
  const bool sequence = normalizer.is_object() && normalizer.value("type", "") == "Sequence";
  if (sequence) {
    for (const json& step : normalizer.at("normalizers")) steps.push_back(&step);
  } else if (!normalizer.is_null()) {
    steps.push_back(&normalizer);
  }
  const json& pre_tokenizer = parsed.at("pre_tokenizer");
  // Gemma's files also cut at spaces, of which the normalizer leaves none.
  const bool inert = pre_tokenizer.is_object() && pre_tokenizer.value("type", "") == "Split" &&
                     pre_tokenizer.value("/pattern/String"_json_pointer, "") == " ";
  if (!pre_tokenizer.is_null() && !inert) steps.push_back(&pre_tokenizer);
  for (const json* step : steps) {
    const JsonFields fields(*step, parsed.file, "normalizer.");
    const std::string type = fields.text("type");
    if (type == "Prepend" && fields.text("prepend") == kSpaceMark) {
      prefix = true;
    } else if (type == "Replace" && fields.text("content") == kSpaceMark &&
               fields.object("pattern").text_or("String", "") == " ") {
      marks = true;
    } else {
      fail(ErrorKind::Unsupported, "[{}] step '{}' cannot be expressed in GGUF", parsed.file, type);
    }
  }
  const JsonFields model(parsed.at("model"), parsed.file, "model.");
  if (!marks || !model.boolean_or("byte_fallback", false)) {
    fail(ErrorKind::Unsupported,
         "[{}] neither byte-level nor SentencePiece-style; expected spaces as U+2581 and "
         "byte_fallback",
         parsed.file);
  }
  return prefix;
}

void add_lists(const TokenLists& lists, GgufMetadata& out) {
  std::vector<std::int32_t> types;
  for (const GgufTokenType type : lists.types) types.push_back(static_cast<std::int32_t>(type));
  out.emplace_back("tokenizer.ggml.tokens", GgufValue::of_texts(lists.texts));
  out.emplace_back("tokenizer.ggml.token_type", GgufValue::of_i32s(types));
}

void add_byte_level(const TokenizerJson& parsed, KnownPattern pattern, const TokenLists& lists,
                    GgufMetadata& out) {
  check_normalizer(parsed);
  out.emplace_back("tokenizer.ggml.model", GgufValue::of_text("gpt2"));
  out.emplace_back("tokenizer.ggml.pre", GgufValue::of_text(label_of(parsed, pattern)));
  add_lists(lists, out);
  out.emplace_back("tokenizer.ggml.merges", GgufValue::of_texts(merge_texts(parsed)));
}

// A token's score is minus the place of its first merge: the best score merges first, as there.
void add_sentence_piece(const TokenizerJson& parsed, TokenId unk, TokenLists lists,
                        GgufMetadata& out) {
  const bool prefix = has_space_prefix(parsed);
  StringIndex index(parsed.vocabulary.size());
  for (const auto& [text, id] : parsed.vocabulary) index.insert(text, id);
  std::vector<float> scores(lists.texts.size(), kWorstScore);
  for (std::size_t rank = parsed.merges.size(); rank-- > 0;) {
    const TokenId id = index.find(parsed.merges[rank].first + parsed.merges[rank].second);
    if (id >= 0) scores[id] = -static_cast<float>(rank);
  }
  for (std::size_t id = 0; id < lists.texts.size(); ++id) {
    std::string& text = lists.texts[id];
    if (lists.types[id] == GgufTokenType::UserDefined) text = marks_to_spaces(text);
    if (lists.types[id] == GgufTokenType::Normal && byte_token_value(text) >= 0) {
      lists.types[id] = GgufTokenType::Byte;
      scores[id] = 0.0f;
    }
  }
  if (unk >= 0) lists.types[unk] = GgufTokenType::Unknown;
  out.emplace_back("tokenizer.ggml.model", GgufValue::of_text("llama"));
  out.emplace_back("tokenizer.ggml.pre", GgufValue::of_text("default"));
  add_lists(lists, out);
  out.emplace_back("tokenizer.ggml.scores", GgufValue::of_f32s(scores));
  out.emplace_back("tokenizer.ggml.add_space_prefix", GgufValue::of_bool(prefix));
}

void add_ids(const Tokenizer& tokenizer, TokenId unk, TokenId pad, GgufMetadata& out) {
  const auto add = [&](const char* key, TokenId id) {
    if (id >= 0) out.emplace_back(key, GgufValue::of_u32(static_cast<std::uint32_t>(id)));
  };
  add("tokenizer.ggml.bos_token_id", tokenizer.bos_id());
  add("tokenizer.ggml.eos_token_id", tokenizer.eos_id());
  add("tokenizer.ggml.unknown_token_id", unk);
  add("tokenizer.ggml.padding_token_id", pad);
  // The one that generation_config.json adds to eos: the end of a turn.
  for (const TokenId id : tokenizer.stop_ids()) {
    if (id == tokenizer.eos_id()) continue;
    add("tokenizer.ggml.eot_token_id", id);
    break;
  }
  out.emplace_back("tokenizer.ggml.add_bos_token", GgufValue::of_bool(tokenizer.adds_bos()));
  if (!tokenizer.chat_template().empty()) {
    out.emplace_back("tokenizer.chat_template", GgufValue::of_text(tokenizer.chat_template()));
  }
}

}  // namespace

GgufMetadata tokenizer_gguf_metadata(const std::filesystem::path& model, std::int64_t rows) {
  if (!is_hf_tokenizer(model)) return carry_keys(model);
  const TokenizerJson parsed = read_tokenizer_json((model / "tokenizer.json").string());
  const HfSettings settings = read_hf_settings(model);
  const auto tokenizer = make_hf_tokenizer(parsed, settings);  // refuses malformed files
  const JsonFields fields(parsed.at("model"), parsed.file, "model.");
  TokenId unk = find_token(parsed, settings.unk);
  if (unk < 0) unk = find_token(parsed, fields.text_or("unk_token", ""));
  const PreTokenizer pre_tokenizer =
      PreTokenizer::from_json(parsed.at("pre_tokenizer"), parsed.file);
  GgufMetadata out;
  TokenLists lists = make_lists(parsed, rows);
  if (pre_tokenizer.byte_level()) {
    add_byte_level(parsed, pre_tokenizer.known_pattern(), lists, out);
  } else {
    add_sentence_piece(parsed, unk, std::move(lists), out);
  }
  add_ids(*tokenizer, unk, find_token(parsed, settings.pad), out);
  return out;
}

}  // namespace outsize
