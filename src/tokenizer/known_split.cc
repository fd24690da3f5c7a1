#include "tokenizer/known_split.h"

#include "tokenizer/unicode.h"
#include "tokenizer/utf8.h"

namespace outsize {

namespace {

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
                                    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

class Scanner {
 public:
  Scanner(std::string_view text, bool ignore_case, Peer peer)
      : text_(text),
        classes_(peer == Peer::LlamaCpp ? char_classes_without_new_numbers() : char_classes()),
        ignore_case_(ignore_case),
        peer_(peer) {}

  bool at_end(std::size_t at) const { return at >= text_.size(); }
  char byte(std::size_t at) const { return at < text_.size() ? text_[at] : '\0'; }
  bool newline(std::size_t at) const { return byte(at) == '\n' || byte(at) == '\r'; }

  // Whether a character of the class stands at `at`; then it ends at next().
  bool is(CharClass wanted, std::size_t at) {
    if (at_end(at)) return false;
    const CodePoint c = decode_utf8(text_, at);
    next_ = at + c.bytes;
    return classes_[c.value] == wanted;
  }
  std::size_t next() const { return next_; }

  // End of the run of characters of one class, of at most `max` of them.
  std::size_t run(CharClass wanted, std::size_t at, std::size_t max = SIZE_MAX) {
    for (; max > 0 && is(wanted, at); --max) at = next_;
    return at;
  }
  std::size_t newlines(std::size_t at) const {
    while (newline(at)) ++at;
    return at;
  }

  // End of an English contraction ('s 't 'm 'd 're 've 'll) that starts at the apostrophe, else at.
  std::size_t contraction(std::size_t at) const {
    if (byte(at) != '\'') return at;
    const char first = folded(at + 1), second = folded(at + 2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    if ((first == 'r' || first == 'v') && second == 'e') return at + 3;
    if (first == 'l' && second == 'l') return at + 3;
    const bool long_s = ignore_case_ && peer_ == Peer::Tokenizers;
    return long_s && text_.substr(at + 1, 2) == "\u017F" ? at + 3 : at;
  }

  // \s+(?!\S)|\s+ on the run [at, end): its last character is left to what follows, unless nothing
  // follows or nothing would be left.
  std::size_t spaces(std::size_t at, std::size_t end) const {
    if (at_end(end)) return end;
    const std::size_t last = previous_character(text_, end);
    return last > at ? last : end;
  }

  // End of the last line break in the run of white space [at, end), or `at`.
  std::size_t last_newline(std::size_t at, std::size_t end) const {
    while (end > at && !newline(end - 1)) --end;
    return end;
  }

 private:
  char folded(std::size_t at) const {
    const char c = byte(at);
    return ignore_case_ && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c;
  }

  std::string_view text_;
  const CharClass* classes_;
  bool ignore_case_;
  Peer peer_;
  std::size_t next_ = 0;
};

std::size_t gpt2_end(Scanner& scan, std::size_t at) {
  if (const std::size_t end = scan.contraction(at); end > at) return end;
  const std::size_t body = scan.byte(at) == ' ' ? at + 1 : at;
  for (const CharClass wanted : {CharClass::Letter, CharClass::Number, CharClass::Other}) {
    if (const std::size_t end = scan.run(wanted, body); end > body) return end;
  }
  return scan.spaces(at, scan.run(CharClass::Space, at));
}

std::size_t llama3_end(Scanner& scan, std::size_t at, std::size_t max_digits) {
  if (const std::size_t end = scan.contraction(at); end > at) return end;
  if (scan.is(CharClass::Letter, at)) return scan.run(CharClass::Letter, at);
  if (scan.is(CharClass::Number, at)) return scan.run(CharClass::Number, at, max_digits);
  const std::size_t second = scan.next();
  if (!scan.newline(at) && scan.is(CharClass::Letter, second)) {
    return scan.run(CharClass::Letter, second);
  }
  const std::size_t body = scan.byte(at) == ' ' ? at + 1 : at;
  if (const std::size_t end = scan.run(CharClass::Other, body); end > body) {
    return scan.newlines(end);
  }
  const std::size_t end = scan.run(CharClass::Space, at);
  if (const std::size_t line = scan.last_newline(at, end); line > at) return line;
  return scan.spaces(at, end);
}

}  // namespace

std::string_view text_of(KnownPattern pattern) {
  switch (pattern) {
    case KnownPattern::Gpt2:
      return kGpt2;
    case KnownPattern::Llama3:
      return kLlama3;
    case KnownPattern::Qwen2:
      return kQwen2;
    case KnownPattern::None:
      break;
  }
  return {};
}

KnownPattern recognize_pattern(std::string_view pattern) {
  for (const auto known : {KnownPattern::Gpt2, KnownPattern::Llama3, KnownPattern::Qwen2}) {
    if (pattern == text_of(known)) return known;
  }
  return KnownPattern::None;
}

void split_known(KnownPattern pattern, Peer peer, std::string_view text, Span part,
                 std::vector<Span>& out) {
  // What stands outside the part is not seen, as if it were a text of its own.
  const std::string_view inside = text.substr(part.begin, part.end - part.begin);
  Scanner scan(inside, pattern != KnownPattern::Gpt2, peer);
  for (std::size_t at = 0; at < inside.size();) {
    const std::size_t end = pattern == KnownPattern::Gpt2
                                ? gpt2_end(scan, at)
                                : llama3_end(scan, at, pattern == KnownPattern::Llama3 ? 3 : 1);
    out.push_back({static_cast<std::uint32_t>(part.begin + at),
                   static_cast<std::uint32_t>(part.begin + end)});
    at = end;
  }
}

}  // namespace outsize
