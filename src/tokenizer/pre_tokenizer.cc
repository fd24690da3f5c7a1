#include "tokenizer/pre_tokenizer.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "formats/json.h"
#include "tokenizer/split_step.h"
#include "tokenizer/unicode.h"
#include "tokenizer/utf8.h"

namespace outsize {

namespace {

constexpr int kMaxDepth = 16;

// Copies the pieces into new text, each through edit(piece, out), and keeps them as pieces.
template <class Edit>
void rewrite(Pieces& pieces, const Edit& edit) {
  std::string text;
  text.reserve(pieces.text.size() + 16);
  std::vector<Span> spans;
  for (const Span& piece : pieces.spans) {
    const auto begin = static_cast<std::uint32_t>(text.size());
    edit(pieces.text.substr(piece.begin, piece.end - piece.begin), piece.begin, text);
    spans.push_back({begin, static_cast<std::uint32_t>(text.size())});
  }
  pieces.storage = std::move(text);
  pieces.text = pieces.storage;
  pieces.spans = std::move(spans);
}

// GPT-2's option to see the first word as if a space stood before it.
class PrefixSpace final : public PreTokenizerStep {
 public:
  void apply(Pieces& pieces) const override {
    rewrite(pieces, [](std::string_view piece, std::size_t, std::string& out) {
      if (piece[0] != ' ') out.push_back(' ');
      out.append(piece);
    });
  }
};

// Spaces become a visible character, as SentencePiece writes them.
class Metaspace final : public PreTokenizerStep {
 public:
  enum class Prepend { Always, First, Never };
  Metaspace(std::string replacement, Prepend prepend)
      : replacement_(std::move(replacement)), prepend_(prepend) {}

  void apply(Pieces& pieces) const override {
    rewrite(pieces, [&](std::string_view piece, std::size_t begin, std::string& out) {
      const bool wanted = prepend_ == Prepend::Always ||
                          (prepend_ == Prepend::First && begin == 0 && pieces.at_start);
      if (wanted && piece[0] != ' ' && !piece.starts_with(replacement_)) out.append(replacement_);
      for (const char c : piece) c == ' ' ? out.append(replacement_) : out.append(1, c);
    });
  }

 private:
  std::string replacement_;
  Prepend prepend_;
};

class Digits final : public PreTokenizerStep {
 public:
  explicit Digits(bool individual) : individual_(individual) {}

  void apply(Pieces& pieces) const override {
    std::vector<Span> out;
    for (const Span& piece : pieces.spans) {
      bool previous_number = false;
      std::uint32_t bytes = 0;
      for (std::uint32_t at = piece.begin; at < piece.end; at += bytes) {
        const CodePoint c = decode_utf8(pieces.text, at);
        bytes = static_cast<std::uint32_t>(c.bytes);
        const bool number = char_classes()[c.value] == CharClass::Number;
        const bool joins =
            at > piece.begin && number == previous_number && !(number && individual_);
        if (joins) {
          out.back().end = at + bytes;
        } else {
          out.push_back({at, at + bytes});
        }
        previous_number = number;
      }
    }
    pieces.spans = std::move(out);
  }

 private:
  bool individual_;
};

using Steps = std::vector<std::shared_ptr<const PreTokenizerStep>>;

[[noreturn]] void fail_value(const JsonFields& fields, std::string_view field,
                             const std::string& got) {
  fail(ErrorKind::Unsupported, "[{}] pre_tokenizer.{} is not supported; got '{}'", fields.file(),
       field, got);
}

SplitBehavior behavior_of(const JsonFields& fields) {
  const std::string name = fields.text_or("behavior", "Isolated");
  if (name == "Removed") return SplitBehavior::Removed;
  if (name == "Isolated") return SplitBehavior::Isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::MergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::MergedWithNext;
  if (name == "Contiguous") return SplitBehavior::Contiguous;
  fail_value(fields, "behavior", name);
}

KnownPattern add_split(const JsonFields& fields, Steps& steps) {
  const JsonFields pattern = fields.object("pattern");
  const SplitBehavior behavior = behavior_of(fields);
  const bool invert = fields.boolean_or("invert", false);
  const std::string where = fields.file() + ": pre_tokenizer.pattern";
  if (!pattern.has("Regex")) {
    steps.push_back(std::make_shared<RegexSplit>(Regex::literal(pattern.text("String"), where),
                                                 behavior, invert));
    return KnownPattern::None;
  }
  const std::string text = pattern.text("Regex");
  const KnownPattern known = recognize_pattern(text);
  // The known patterns match every character, so that what happens to the gaps does not matter.
  const bool plain =
      behavior == SplitBehavior::Isolated || (behavior == SplitBehavior::Removed && invert);
  if (known != KnownPattern::None && plain) {
    steps.push_back(std::make_shared<KnownSplit>(known, Peer::Tokenizers));
    return known;
  }
  steps.push_back(std::make_shared<RegexSplit>(Regex(text, where), behavior, invert));
  return KnownPattern::None;
}

KnownPattern add_byte_level(const JsonFields& fields, Steps& steps) {
  if (fields.boolean_or("add_prefix_space", true)) steps.push_back(std::make_shared<PrefixSpace>());
  if (!fields.boolean_or("use_regex", true)) return KnownPattern::None;
  steps.push_back(std::make_shared<KnownSplit>(KnownPattern::Gpt2, Peer::Tokenizers));
  return KnownPattern::Gpt2;
}

KnownPattern add_digits(const JsonFields& fields, Steps& steps) {
  steps.push_back(std::make_shared<Digits>(fields.boolean_or("individual_digits", false)));
  return KnownPattern::None;
}

KnownPattern add_metaspace(const JsonFields& fields, Steps& steps) {
  const std::string scheme = fields.text_or(
      "prepend_scheme", fields.boolean_or("add_prefix_space", true) ? "always" : "never");
  Metaspace::Prepend prepend = Metaspace::Prepend::Never;
  if (scheme == "always") {
    prepend = Metaspace::Prepend::Always;
  } else if (scheme == "first") {
    prepend = Metaspace::Prepend::First;
  } else if (scheme != "never") {
    fail_value(fields, "prepend_scheme", scheme);
  }
  const std::string replacement = fields.text_or("replacement", "\u2581");
  if (replacement.empty()) fail_value(fields, "replacement", replacement);
  steps.push_back(std::make_shared<Metaspace>(replacement, prepend));
  if (fields.boolean_or("split", true)) {
    steps.push_back(std::make_shared<RegexSplit>(
        Regex::literal(replacement, fields.file() + ": pre_tokenizer.replacement"),
        SplitBehavior::MergedWithNext, false));
  }
  return KnownPattern::None;
}

struct Kind {
  const char* name;
  KnownPattern (*add)(const JsonFields&, Steps&);  // the published pattern it stands for, if any
};
constexpr Kind kKinds[] = {
    {"Split", add_split},
    {"ByteLevel", add_byte_level},
    {"Digits", add_digits},
    {"Metaspace", add_metaspace},
};

}  // namespace

PreTokenizer PreTokenizer::from_json(const nlohmann::json& value, const std::string& file) {
  PreTokenizer result;
  if (!value.is_null()) result.add(value, file, 0);
  // With further steps the text is not cut as by the pattern alone.
  if (result.steps_.size() != 1) result.known_pattern_ = KnownPattern::None;
  return result;
}

PreTokenizer PreTokenizer::from_patterns(const std::vector<std::string_view>& patterns, Peer peer) {
  PreTokenizer result;
  result.byte_level_ = true;
  for (const std::string_view pattern : patterns) {
    const KnownPattern known = recognize_pattern(pattern);
    if (known != KnownPattern::None) {
      result.steps_.push_back(std::make_shared<KnownSplit>(known, peer));
      result.known_pattern_ = known;
    } else {
      result.steps_.push_back(std::make_shared<RegexSplit>(
          Regex(std::string(pattern), "tokenizer.ggml.pre"), SplitBehavior::Isolated, false));
    }
  }
  if (result.steps_.size() != 1) result.known_pattern_ = KnownPattern::None;
  return result;
}

void PreTokenizer::add(const nlohmann::json& value, const std::string& file, int depth) {
  const JsonFields fields(value, file, "pre_tokenizer.");
  const std::string type = fields.text("type");
  if (byte_level_) {
    fail(ErrorKind::Unsupported,
         "[{}] pre_tokenizer: '{}' after ByteLevel; expected ByteLevel last", file, type);
  }
  if (type == "Sequence") {
    const nlohmann::json* list = fields.find("pretokenizers");
    if (list == nullptr || !list->is_array() || depth >= kMaxDepth) {
      fields.fail_field("pretokenizers", "must be a list, not nested deeply");
    }
    for (const auto& step : *list) add(step, file, depth + 1);
    return;
  }
  for (const Kind& kind : kKinds) {
    if (type != kind.name) continue;
    const KnownPattern known = kind.add(fields, steps_);
    if (known != KnownPattern::None) known_pattern_ = known;
    byte_level_ = type == "ByteLevel";
    return;
  }
  fail_value(fields, "type", type);
}

void PreTokenizer::split(Pieces& pieces) const {
  pieces.spans.clear();
  if (pieces.text.empty()) return;
  pieces.spans.push_back({0, static_cast<std::uint32_t>(pieces.text.size())});
  for (const auto& step : steps_) step->apply(pieces);
}

}  // namespace outsize
