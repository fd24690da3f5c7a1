// tokenizer.ggml.model = "gpt2": byte-level BPE whose split patterns the file names by label.
#include "core/error.h"
#include "tokenizer/bpe.h"
#include "tokenizer/gguf_tokenizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/spelling.h"
#include "tokenizer/utf8.h"

namespace outsize {

namespace {

// A wrong label gives wrong ids without any error, so only labels whose patterns llama.cpp runs
// exactly so are here.
constexpr GgufPattern kPatterns[] = {
    {"gpt-2", KnownPattern::Gpt2, false, false, false},
    {"gigachat", KnownPattern::Gpt2, false, false, false},
    {"phi-2", KnownPattern::Gpt2, false, false, false},
    {"jina-es", KnownPattern::Gpt2, false, false, false},
    {"jina-de", KnownPattern::Gpt2, false, false, false},
    {"mpt", KnownPattern::Gpt2, false, false, false},
    {"olmo", KnownPattern::Gpt2, false, false, false},
    {"smollm", KnownPattern::Gpt2, true, false, false},
    {"starcoder", KnownPattern::Gpt2, true, false, false},
    {"refact", KnownPattern::Gpt2, true, false, false},
    {"command-r", KnownPattern::Gpt2, true, false, false},
    {"llama-bpe", KnownPattern::Llama3, false, true, true},
    {"llama3", KnownPattern::Llama3, false, true, true},
    {"llama-v3", KnownPattern::Llama3, false, true, true},
    {"falcon3", KnownPattern::Llama3, false, true, true},
    {"qwen2", KnownPattern::Qwen2, false, false, false},
    {"deepseek-r1-qwen", KnownPattern::Qwen2, false, false, false},
};

class GgufBpeTokenizer final : public TableTokenizer {
 public:
  GgufBpeTokenizer(TokenTables tables, GgufTokenFinder finder, PreTokenizer pre_tokenizer, Bpe bpe)
      : TableTokenizer(std::move(tables)),
        finder_(std::move(finder)),
        pre_tokenizer_(std::move(pre_tokenizer)),
        bpe_(std::move(bpe)) {}
  using TableTokenizer::encode;

  void encode(std::string_view text, bool parse_special, std::vector<TokenId>& out) const override {
    check_text_size(text);
    ScratchPool::Lease scratch(scratch_);
    for (const TextPart& part : finder_.split(text, parse_special)) {
      if (part.id >= 0) {
        out.push_back(part.id);
        continue;
      }
      encode_text(text.substr(part.begin, part.end - part.begin), *scratch, out);
    }
  }

 private:
  void encode_text(std::string_view text, EncodeScratch& scratch, std::vector<TokenId>& out) const {
    std::string repaired;
    if (!is_valid_utf8(text)) {
      repaired = repair_utf8_like_llama_cpp(text);
      text = repaired;
    }
    Pieces pieces;
    pieces.text = text;
    pre_tokenizer_.split(pieces);
    for (const Span& span : pieces.spans) {
      bpe_.encode(pieces.text.substr(span.begin, span.end - span.begin), scratch, out);
    }
  }

  GgufTokenFinder finder_;
  PreTokenizer pre_tokenizer_;
  Bpe bpe_;
  mutable ScratchPool scratch_;
};

// Both sides of "a b". llama.cpp cuts at the first space after the first byte: a token may be one.
std::pair<std::string_view, std::string_view> cut_merge(std::string_view merge) {
  const std::size_t space = merge.find(' ', 1);
  if (space == std::string_view::npos) return {merge, {}};
  return {merge.substr(0, space), merge.substr(space + 1)};
}

Bpe make_bpe(const GgufVocabulary& vocabulary, bool ignore_merges) {
  const std::size_t count = vocabulary.tokens.size();
  StringIndex by_text(count), by_bytes(count);
  std::string spelled;
  for (std::size_t id = 0; id < count; ++id) {
    const std::string& text = vocabulary.tokens[id];
    by_text.insert(text, static_cast<TokenId>(id));
    if (is_valid_utf8(text) && byte_level_bytes(text, spelled)) {
      by_bytes.insert(spelled, static_cast<TokenId>(id));
    }
  }
  std::vector<BpeMerge> merges;
  merges.reserve(vocabulary.merges.size());
  for (const std::string& text : vocabulary.merges) {
    const auto [left, right] = cut_merge(text);
    const std::string joined = std::string(left) + std::string(right);
    const BpeMerge merge{by_text.find(left), by_text.find(right), by_text.find(joined)};
    if (merge.left < 0 || merge.right < 0 || merge.result < 0) {
      fail(ErrorKind::InvalidArgument,
           "[{}] tokenizer.ggml.merges: merge {} ('{}') has a part that is not a token",
           vocabulary.file, merges.size(), text);
    }
    merges.push_back(merge);
  }
  BpeOptions options;
  options.ignore_merges = ignore_merges;
  return Bpe(options, std::move(by_bytes), merges);
}

}  // namespace

const GgufPattern* find_gguf_pattern(std::string_view label) {
  for (const GgufPattern& pattern : kPatterns) {
    if (label == pattern.label) return &pattern;
  }
  return nullptr;
}

std::unique_ptr<Tokenizer> make_gguf_bpe_tokenizer(const GgufVocabulary& vocabulary) {
  const GgufPattern* pattern = find_gguf_pattern(vocabulary.pre);
  if (pattern == nullptr) {
    fail(ErrorKind::Unsupported,
         "[{}] tokenizer.ggml.pre; got '{}'; expected gpt-2, llama-bpe, qwen2 or one of their kin",
         vocabulary.file, vocabulary.pre);
  }
  std::vector<std::string_view> patterns{text_of(pattern->pattern)};
  if (pattern->digits_first) patterns.insert(patterns.begin(), R"(\p{N})");
  TokenTables tables = make_gguf_tables(vocabulary);
  std::string spelled;
  for (std::size_t id = 0; id < tables.bytes.size(); ++id) {
    std::string& text = tables.bytes[id];
    const bool normal = vocabulary.types[id] == GgufTokenType::Normal;
    if (normal && is_valid_utf8(text) && byte_level_bytes(text, spelled)) text = spelled;
  }
  const bool adds_bos = vocabulary.add_bos >= 0 ? vocabulary.add_bos == 1 : pattern->adds_bos;
  tables.adds_bos = tables.bos >= 0 && adds_bos;
  return std::make_unique<GgufBpeTokenizer>(std::move(tables), make_gguf_token_finder(vocabulary),
                                            PreTokenizer::from_patterns(patterns, Peer::LlamaCpp),
                                            make_bpe(vocabulary, pattern->ignore_merges));
}

}  // namespace outsize
