// UTF-8 as tokenizers need it: decoding of text known to be valid, and the two ways in which the
// peers repair text that is not (Rust and Python for tokenizer.json, llama.cpp for GGUF).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace outsize {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

// Bytes of the sequence a lead byte announces; 1 for a continuation byte.
inline int utf8_length(unsigned char lead) {
  return lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

struct CodePoint {
  char32_t value;
  int bytes;
};

// The character that starts at `at`. The text must be valid UTF-8 and at < text.size().
inline CodePoint decode_utf8(std::string_view text, std::size_t at) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data()) + at;
  if (p[0] < 0x80) return {p[0], 1};
  if (p[0] < 0xE0) return {static_cast<char32_t>((p[0] & 0x1F) << 6 | (p[1] & 0x3F)), 2};
  if (p[0] < 0xF0) {
    return {static_cast<char32_t>((p[0] & 0x0F) << 12 | (p[1] & 0x3F) << 6 | (p[2] & 0x3F)), 3};
  }
  return {static_cast<char32_t>((p[0] & 0x07) << 18 | (p[1] & 0x3F) << 12 | (p[2] & 0x3F) << 6 |
                                (p[3] & 0x3F)),
          4};
}

// Start of the character that ends before `end`. Valid UTF-8, end > 0.
inline std::size_t previous_character(std::string_view text, std::size_t end) {
  do {
    --end;
  } while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

// `character` is a Unicode scalar value or a surrogate (written as three bytes).
void append_utf8(char32_t character, std::string& out);

bool is_valid_utf8(std::string_view text);

// Each maximal ill-formed part becomes one U+FFFD (Unicode 3.9, Rust's from_utf8_lossy, Python's
// errors="replace").
std::string repair_utf8(std::string_view text);

// As llama.cpp reads text for byte-level vocabularies: every byte that starts no sequence of the
// right form becomes U+FFFD; overlong forms are shortened, surrogates pass.
std::string repair_utf8_like_llama_cpp(std::string_view text);

}  // namespace outsize
