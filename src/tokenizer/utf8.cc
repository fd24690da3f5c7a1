#include "tokenizer/utf8.h"

#include <cstring>

namespace outsize {

namespace {

bool is_continuation(unsigned char byte) {
  return (byte & 0xC0) == 0x80;
}

struct Sequence {
  int bytes;   // consumed, at least 1
  bool valid;  // otherwise `bytes` is the maximal ill-formed part
};

// Table 3-7 of the Unicode standard: the second byte's range depends on the first.
Sequence read_sequence(const unsigned char* p, std::size_t left) {
  const unsigned char lead = p[0];
  if (lead < 0x80) return {1, true};
  if (lead < 0xC2 || lead > 0xF4) return {1, false};
  const int length = utf8_length(lead);
  unsigned char low = 0x80, high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  if (left < 2 || p[1] < low || p[1] > high) return {1, false};
  for (int i = 2; i < length; ++i) {
    if (left <= static_cast<std::size_t>(i) || !is_continuation(p[i])) return {i, false};
  }
  return {length, true};
}

// Skips eight ASCII bytes at a time: most text is mostly ASCII.
std::size_t skip_ascii(std::string_view text, std::size_t at) {
  while (at + 8 <= text.size()) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    if (word & 0x8080808080808080ull) break;
    at += 8;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

// Length of the sequence as llama.cpp's decoder accepts it; 0 when it does not.
int lenient_length(const unsigned char* p, std::size_t left) {
  if (p[0] < 0x80) return 1;
  if (p[0] < 0xC0 || p[0] >= 0xF8) return 0;
  const int length = utf8_length(p[0]);
  if (left < static_cast<std::size_t>(length)) return 0;
  for (int i = 1; i < length; ++i) {
    if (!is_continuation(p[i])) return 0;
  }
  return length;
}

}  // namespace

void append_utf8(char32_t c, std::string& out) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xC0 | c >> 6));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | c >> 12));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | c >> 18));
    out.push_back(static_cast<char>(0x80 | (c >> 12 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  }
}

bool is_valid_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  for (std::size_t at = skip_ascii(text, 0); at < text.size(); at = skip_ascii(text, at)) {
    const Sequence sequence = read_sequence(p + at, text.size() - at);
    if (!sequence.valid) return false;
    at += sequence.bytes;
  }
  return true;
}

std::string repair_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Sequence sequence = read_sequence(p + at, text.size() - at);
    if (sequence.valid) {
      out.append(text.substr(at, sequence.bytes));
    } else {
      append_utf8(kReplacementCharacter, out);
    }
    at += sequence.bytes;
  }
  return out;
}

std::string repair_utf8_like_llama_cpp(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const int length = lenient_length(p + at, text.size() - at);
    if (length == 0) {
      append_utf8(kReplacementCharacter, out);
      ++at;
      continue;
    }
    const char32_t value = decode_utf8(text, at).value;
    append_utf8(value > 0x10FFFF ? kReplacementCharacter : value, out);
    at += length;
  }
  return out;
}

}  // namespace outsize
