#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/error.h"

namespace outsize {

namespace {

constexpr std::size_t kMaxPatternBytes = 64 * 1024;
// Backtracking steps one match may take: a fixed part and one per byte, since `\s*[\r\n]` on a long
// run of spaces legitimately walks back over all of it.
constexpr std::uint32_t kMatchSteps = 4'000'000;
constexpr std::uint32_t kStepsPerByte = 8;
constexpr std::uint32_t kDepthLimit = 100'000;
constexpr std::uint32_t kHeapKiB = 64 * 1024;
constexpr std::size_t kJitStackStart = 32 * 1024, kJitStackMax = 8 * 1024 * 1024;

template <auto function>
struct Deleter {
  template <class T>
  void operator()(T* p) const {
    function(p);
  }
};
using MatchData = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Deleter<pcre2_compile_context_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Deleter<pcre2_jit_stack_free>>;

// What a match works in. One per thread: making the stack costs more than most matches.
struct MatchState {
  MatchData data{pcre2_match_data_create(1, nullptr)};
  MatchContext context{pcre2_match_context_create(nullptr)};
  JitStack stack{pcre2_jit_stack_create(kJitStackStart, kJitStackMax, nullptr)};

  MatchState() {
    pcre2_set_depth_limit(context.get(), kDepthLimit);
    pcre2_set_heap_limit(context.get(), kHeapKiB);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

std::string message_of(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

// What the escapes match in Oniguruma, without the brackets; PCRE2's \s also takes U+180E and its
// \w neither marks nor connectors.
std::string_view class_text(char escape) {
  switch (escape) {
    case 's':
    case 'S':
      return "\\t-\\r\\x{85}\\p{Z}";
    case 'w':
    case 'W':
      return "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}";
    case 'h':
    case 'H':
      return "0-9a-fA-F";
    default:
      return {};
  }
}

}  // namespace

std::string translate_oniguruma(std::string_view pattern, const std::string& where) {
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escape = pattern[++i];
      const std::string_view text = class_text(escape);
      const bool negated = escape >= 'A' && escape <= 'Z';
      if (text.empty()) {
        out.append({c, escape});
      } else if (in_class) {
        if (negated) {
          fail(ErrorKind::Unsupported, "[{}] \\{} inside a class of the pattern '{}'", where,
               escape, pattern);
        }
        out.append(text);
      } else {
        out.append(negated ? "[^" : "[").append(text).append("]");
      }
      continue;
    }
    if (in_class && c == '&' && pattern.substr(i, 2) == "&&") {
      fail(ErrorKind::Unsupported, "[{}] class intersection && in the pattern '{}'", where,
           pattern);
    }
    if (c == '[' && !in_class) {
      in_class = true;
      out.push_back(c);
      // A ']' right after the opening is a member.
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out.push_back(pattern[++i]);
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out.push_back(pattern[++i]);
      continue;
    }
    if (c == ']') in_class = false;
    out.push_back(c);
  }
  return out;
}

struct Regex::Code {
  std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>> compiled;
};

Regex::Regex(const std::string& pattern, std::string where)
    : code_(std::make_unique<Code>()), where_(std::move(where)) {
  if (pattern.size() > kMaxPatternBytes) {
    fail(ErrorKind::Unsupported, "[{}] pattern too long; got {} bytes; expected at most {}", where_,
         pattern.size(), kMaxPatternBytes);
  }
  const std::string text = translate_oniguruma(pattern, where_);
  const CompileContext context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // MULTILINE: in Oniguruma's default syntax ^ and $ hold at every line.
  const std::uint32_t options =
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_UTF_CHECK;
  if (!pattern.empty()) {
    code_->compiled.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                        options, &error, &offset, context.get()));
    if (!code_->compiled) {
      fail(ErrorKind::Unsupported, "[{}] pattern refused: {} at byte {}; got '{}'", where_,
           message_of(error), offset, text);
    }
    // Without a compiler for this processor the interpreter does the same, slower.
    pcre2_jit_compile(code_->compiled.get(), PCRE2_JIT_COMPLETE);
  }
}

Regex Regex::literal(std::string_view text, std::string where) {
  std::string pattern;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       static_cast<unsigned char>(c) >= 0x80;
    if (c == '\n' || c == '\0') {
      pattern.append(c == '\n' ? "\\n" : "\\x00");
      continue;
    }
    if (!plain) pattern.push_back('\\');
    pattern.push_back(c);
  }
  return Regex(pattern, std::move(where));
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

void Regex::for_each_match(std::string_view text,
                           const std::function<void(std::size_t, std::size_t)>& visit) const {
  if (!code_->compiled) return;  // the empty pattern matches nothing that is not empty
  static thread_local const MatchState state;
  const std::size_t steps =
      kMatchSteps + kStepsPerByte * std::min<std::size_t>(text.size(), 1 << 28);
  pcre2_set_match_limit(state.context.get(), static_cast<std::uint32_t>(steps));
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(state.data.get());
  for (PCRE2_SIZE at = 0; at < text.size();) {
    const int found =
        pcre2_match(code_->compiled.get(), subject, text.size(), at,
                    PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, state.data.get(), state.context.get());
    if (found == PCRE2_ERROR_NOMATCH) return;
    if (found < 0) {
      fail(ErrorKind::Unsupported, "[{}] pattern is too costly on this text: {}", where_,
           message_of(found));
    }
    // \K in a look-ahead can put the start behind the end.
    if (range[1] <= at || range[0] > range[1] || range[0] < at) {
      fail(ErrorKind::Unsupported, "[{}] pattern matches backwards", where_);
    }
    visit(range[0], range[1]);
    at = range[1];
  }
}

}  // namespace outsize
