#include "tokenizer/hf_tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "formats/json.h"
#include "tokenizer/bpe.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/spelling.h"
#include "tokenizer/table_tokenizer.h"
#include "tokenizer/utf8.h"

namespace outsize {

namespace {

using nlohmann::json;

class HfTokenizer final : public TableTokenizer {
 public:
  HfTokenizer(TokenTables tables, const TokenizerJson& parsed, PreTokenizer pre_tokenizer, Bpe bpe);
  using TableTokenizer::encode;
  void encode(std::string_view text, bool parse_special, std::vector<TokenId>& out) const override;

 private:
  // Text in which no token of `raw_tokens_` stands.
  void encode_raw(std::string_view text, bool at_start, bool parse_special, EncodeScratch& scratch,
                  std::vector<TokenId>& out) const;
  void encode_normalized(std::string_view text, bool at_start, EncodeScratch& scratch,
                         std::vector<TokenId>& out) const;

  Normalizer normalizer_;
  AddedTokenFinder raw_tokens_, normalized_tokens_;
  PreTokenizer pre_tokenizer_;
  Bpe bpe_;
  mutable ScratchPool scratch_;
};

HfTokenizer::HfTokenizer(TokenTables tables, const TokenizerJson& parsed,
                         PreTokenizer pre_tokenizer, Bpe bpe)
    : TableTokenizer(std::move(tables)),
      normalizer_(Normalizer::from_json(parsed.at("normalizer"), parsed.file)),
      pre_tokenizer_(std::move(pre_tokenizer)),
      bpe_(std::move(bpe)) {
  for (AddedToken token : parsed.added) {
    if (token.normalized) {
      token.text = normalizer_.apply(token.text);
      normalized_tokens_.add(std::move(token));
    } else {
      raw_tokens_.add(std::move(token));
    }
  }
}

void HfTokenizer::encode(std::string_view text, bool parse_special,
                         std::vector<TokenId>& out) const {
  check_text_size(text);
  std::string repaired;
  if (!is_valid_utf8(text)) {
    repaired = repair_utf8(text);
    text = repaired;
  }
  ScratchPool::Lease scratch(scratch_);
  for (const TextPart& part : raw_tokens_.split(text, parse_special)) {
    if (part.id >= 0) {
      out.push_back(part.id);
      continue;
    }
    encode_raw(text.substr(part.begin, part.end - part.begin), part.begin == 0, parse_special,
               *scratch, out);
  }
}

void HfTokenizer::encode_raw(std::string_view text, bool at_start, bool parse_special,
                             EncodeScratch& scratch, std::vector<TokenId>& out) const {
  std::string normalized;
  if (!normalizer_.empty()) {
    normalized = normalizer_.apply(text);
    text = normalized;
  }
  for (const TextPart& part : normalized_tokens_.split(text, parse_special)) {
    if (part.id >= 0) {
      out.push_back(part.id);
      continue;
    }
    encode_normalized(text.substr(part.begin, part.end - part.begin), at_start && part.begin == 0,
                      scratch, out);
  }
}

void HfTokenizer::encode_normalized(std::string_view text, bool at_start, EncodeScratch& scratch,
                                    std::vector<TokenId>& out) const {
  check_text_size(text);
  Pieces pieces;
  pieces.text = text;
  pieces.at_start = at_start;
  pre_tokenizer_.split(pieces);
  for (const Span& span : pieces.spans) {
    bpe_.encode(pieces.text.substr(span.begin, span.end - span.begin), scratch, out);
  }
}

// How tokens are spelled, by the decoder of the file.
struct Spelling {
  bool byte_level = false;
  bool space_mark = false;  // U+2581 stands for a space
  bool byte_tokens = false;
  bool strips_space = false;
};

void read_decoder(const json& value, const std::string& file, Spelling& spelling, int depth) {
  if (value.is_null() || depth > 16) return;
  const JsonFields fields(value, file, "decoder.");
  const std::string type = fields.text("type");
  if (type == "Sequence") {
    const json* list = fields.find("decoders");
    if (list == nullptr || !list->is_array()) fields.fail_field("decoders", "must be a list");
    for (const json& step : *list) read_decoder(step, file, spelling, depth + 1);
  } else if (type == "ByteLevel") {
    spelling.byte_level = true;
  } else if (type == "Replace") {
    spelling.space_mark |= fields.text_or("content", "") == " " &&
                           fields.object("pattern").text_or("String", "") == kSpaceMark;
  } else if (type == "ByteFallback") {
    spelling.byte_tokens = true;
  } else if (type == "Strip") {
    spelling.strips_space |=
        fields.text_or("content", "") == " " && fields.integer_or("start", 0) > 0;
  } else if (type == "Metaspace") {
    spelling.space_mark = true;
    spelling.strips_space |= fields.text_or("prepend_scheme", "always") != "never" &&
                             fields.boolean_or("add_prefix_space", true);
  }
}

std::string bytes_of(const std::string& text, const Spelling& spelling) {
  std::string bytes;
  if (spelling.byte_level) return byte_level_bytes(text, bytes) ? bytes : text;
  const int value = spelling.byte_tokens ? byte_token_value(text) : -1;
  if (value >= 0) return std::string(1, static_cast<char>(value));
  return spelling.space_mark ? marks_to_spaces(text) : text;
}

TokenTables make_tables(const TokenizerJson& parsed, const HfSettings& settings) {
  Spelling spelling;
  read_decoder(parsed.at("decoder"), parsed.file, spelling, 0);
  TokenTables tables;
  tables.bytes.resize(parsed.size);
  tables.special.resize(parsed.size);
  for (const auto& [text, id] : parsed.vocabulary) tables.bytes[id] = bytes_of(text, spelling);
  for (const AddedToken& token : parsed.added) {
    tables.bytes[token.id] = token.text;
    tables.special[token.id] = token.special;
  }
  tables.strips_space = spelling.strips_space;
  tables.chat_template = settings.chat_template;
  const TokenId leading = leading_token(parsed);
  tables.bos = find_token(parsed, settings.bos);
  if (tables.bos < 0) tables.bos = leading >= 0 ? leading : settings.config_bos;
  tables.adds_bos =
      tables.bos >= 0 && (settings.add_bos >= 0 ? settings.add_bos == 1 : leading == tables.bos);
  tables.eos = find_token(parsed, settings.eos);
  if (tables.eos < 0 && !settings.stops.empty()) tables.eos = settings.stops.front();
  tables.stops = settings.stops;
  return tables;
}

// `byte_level`: the model sees bytes, and only tokens that spell bytes can come out of it.
Bpe make_bpe(const TokenizerJson& parsed, bool byte_level) {
  const JsonFields model(parsed.at("model"), parsed.file, "model.");
  for (const char* field : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.text_or(field, "").empty()) {
      fail(ErrorKind::Unsupported, "[{}] model.{} is not supported", parsed.file, field);
    }
  }
  if (model.number_or("dropout", 0.0) != 0.0) {
    fail(ErrorKind::Unsupported, "[{}] model.dropout is not supported", parsed.file);
  }
  std::size_t bytes = 0;
  for (const auto& entry : parsed.vocabulary) bytes += entry.first.size();
  StringIndex by_text(parsed.vocabulary.size(), bytes),
      by_bytes(byte_level ? parsed.vocabulary.size() : 0);
  std::string spelled;
  for (const auto& [text, id] : parsed.vocabulary) {
    by_text.insert(text, id);
    if (byte_level && byte_level_bytes(text, spelled)) by_bytes.insert(spelled, id);
  }
  std::vector<BpeMerge> merges;
  merges.reserve(parsed.merges.size());
  for (const auto& [left, right] : parsed.merges) {
    const BpeMerge merge{by_text.find(left), by_text.find(right), by_text.find(left + right)};
    if (merge.left < 0 || merge.right < 0 || merge.result < 0) {
      fail(ErrorKind::InvalidArgument,
           "[{}] model.merges: merge {} ('{}' '{}') has a part that is not in model.vocab",
           parsed.file, merges.size(), left, right);
    }
    merges.push_back(merge);
  }
  BpeOptions options;
  options.byte_level = byte_level;
  options.byte_fallback = model.boolean_or("byte_fallback", false);
  options.ignore_merges = model.boolean_or("ignore_merges", false);
  options.fuse_unk = model.boolean_or("fuse_unk", false);
  const std::string unk = model.text_or("unk_token", "");
  if (!unk.empty()) options.unk = by_text.find(unk);
  return Bpe(options, byte_level ? std::move(by_bytes) : std::move(by_text), merges);
}

}  // namespace

TokenId find_token(const TokenizerJson& parsed, std::string_view text) {
  if (text.empty()) return -1;
  for (const auto& [token, id] : parsed.vocabulary) {
    if (token == text) return id;
  }
  for (const AddedToken& token : parsed.added) {
    if (token.text == text) return token.id;
  }
  return -1;
}

TokenId leading_token(const TokenizerJson& parsed) {
  const json& root = parsed.at("post_processor");
  if (root.is_null()) return -1;
  std::vector<const json*> processors{&root};
  const JsonFields outer(root, parsed.file, "post_processor.");
  if (outer.text("type") == "Sequence") {
    processors.clear();
    const json* list = outer.find("processors");
    if (list == nullptr || !list->is_array()) outer.fail_field("processors", "must be a list");
    for (const json& item : *list) processors.push_back(&item);
  }
  for (const json* processor : processors) {
    const JsonFields fields(*processor, parsed.file, "post_processor.");
    if (fields.text("type") != "TemplateProcessing") continue;
    const json* single = fields.find("single");
    if (single == nullptr || !single->is_array() || single->empty()) continue;
    const JsonFields first(single->front(), parsed.file, "post_processor.single.");
    if (!first.has("SpecialToken")) continue;
    return find_token(parsed, first.object("SpecialToken").text("id"));
  }
  return -1;
}

std::unique_ptr<Tokenizer> make_hf_tokenizer(const TokenizerJson& parsed,
                                             const HfSettings& settings) {
  PreTokenizer pre_tokenizer = PreTokenizer::from_json(parsed.at("pre_tokenizer"), parsed.file);
  Bpe bpe = make_bpe(parsed, pre_tokenizer.byte_level());
  return std::make_unique<HfTokenizer>(make_tables(parsed, settings), parsed,
                                       std::move(pre_tokenizer), std::move(bpe));
}

bool is_hf_tokenizer(const std::filesystem::path& model) {
  return std::filesystem::exists(model / "tokenizer.json");
}

std::unique_ptr<Tokenizer> load_hf_tokenizer(const std::filesystem::path& model) {
  const TokenizerJson parsed = read_tokenizer_json((model / "tokenizer.json").string());
  return make_hf_tokenizer(parsed, read_hf_settings(model));
}

}  // namespace outsize
