// tokenizer.ggml.model = "llama": user-defined and control tokens are found first, spaces become
// U+2581, then neighbours merge by score.
#include "core/error.h"
#include "tokenizer/gguf_tokenizer.h"
#include "tokenizer/spelling.h"
#include "tokenizer/spm.h"

namespace outsize {

namespace {

class GgufSpmTokenizer final : public TableTokenizer {
 public:
  GgufSpmTokenizer(TokenTables tables, const GgufVocabulary& vocabulary, bool space_prefix)
      : TableTokenizer(std::move(tables)),
        finder_(make_gguf_token_finder(vocabulary)),
        spm_(vocabulary.tokens, vocabulary.scores, vocabulary.unk),
        space_prefix_(space_prefix) {}
  using TableTokenizer::encode;

  void encode(std::string_view text, bool parse_special, std::vector<TokenId>& out) const override {
    check_text_size(text);
    ScratchPool::Lease scratch(scratch_);
    std::string escaped;
    bool after_token = true;  // the start counts as one
    for (const TextPart& part : finder_.split(text, parse_special)) {
      if (part.id >= 0) {
        out.push_back(part.id);
        after_token = true;
        continue;
      }
      const std::string_view plain = text.substr(part.begin, part.end - part.begin);
      escaped = spaces_to_marks(plain);
      if (space_prefix_ && after_token) escaped.insert(0, kSpaceMark);
      spm_.encode(escaped, *scratch, out);
      after_token = false;
    }
  }

 private:
  GgufTokenFinder finder_;
  Spm spm_;
  bool space_prefix_;
  mutable ScratchPool scratch_;
};

// The bytes a token stands for; other spellings of a byte token keep their text.
std::string bytes_of(const std::string& text, GgufTokenType type) {
  const int byte = type == GgufTokenType::Byte ? byte_token_value(text) : -1;
  if (byte >= 0) return std::string(1, static_cast<char>(byte));
  return type == GgufTokenType::Normal ? marks_to_spaces(text) : text;
}

}  // namespace

std::unique_ptr<Tokenizer> make_gguf_spm_tokenizer(const GgufVocabulary& vocabulary) {
  if (vocabulary.scores.empty()) {
    fail(ErrorKind::InvalidArgument,
         "[{}] tokenizer.ggml.scores is missing; expected one score per token", vocabulary.file);
  }
  TokenTables tables = make_gguf_tables(vocabulary);
  for (std::size_t id = 0; id < tables.bytes.size(); ++id) {
    tables.bytes[id] = bytes_of(tables.bytes[id], vocabulary.types[id]);
  }
  const bool space_prefix = vocabulary.add_space_prefix != 0;
  tables.strips_space = space_prefix;
  tables.adds_bos = tables.bos >= 0 && vocabulary.add_bos != 0;
  return std::make_unique<GgufSpmTokenizer>(std::move(tables), vocabulary, space_prefix);
}

}  // namespace outsize
