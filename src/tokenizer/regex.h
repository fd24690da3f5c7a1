// A regular expression from a tokenizer file, run through PCRE2 with its compiler. Patterns are
// written for Oniguruma (the tokenizers library); where the two dialects differ they are
// translated. Steps and memory are limited, so that no pattern from a file can hang the program.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace outsize {

class Regex {
 public:
  // Throws Unsupported when PCRE2 refuses the pattern; `where` names file and field.
  Regex(const std::string& pattern, std::string where);
  // A pattern that matches exactly `text`.
  static Regex literal(std::string_view text, std::string where);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  // visit(begin, end) for each non-overlapping match that is not empty, from left to right. `text`
  // is valid UTF-8. Throws Unsupported when a match exceeds the limits. Thread-safe.
  void for_each_match(std::string_view text,
                      const std::function<void(std::size_t, std::size_t)>& visit) const;

 private:
  struct Code;

  std::unique_ptr<Code> code_;
  std::string where_;
};

// The pattern in PCRE2's dialect: \s, \S, \w, \W and \h as Oniguruma means them. Throws Unsupported
// for class intersections (&&).
std::string translate_oniguruma(std::string_view pattern, const std::string& where);

}  // namespace outsize
