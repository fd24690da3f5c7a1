#include "tokenizer/spelling.h"

#include <fmt/core.h>

#include <array>

#include "tokenizer/utf8.h"

namespace outsize {

namespace {

// GPT-2's table: printable Latin-1 stays itself, the other 68 bytes take U+0100 and on, in order.
constexpr char32_t kFirstShifted = 0x100;
constexpr int kShiftedCount = 68;

constexpr bool is_printable(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct ByteTable {
  std::array<std::string, 256> text;
  std::array<int, kFirstShifted + kShiftedCount> byte_of;  // -1: not in the table

  ByteTable() {
    byte_of.fill(-1);
    char32_t shifted = kFirstShifted;
    for (int byte = 0; byte < 256; ++byte) {
      const char32_t c = is_printable(byte) ? static_cast<char32_t>(byte) : shifted++;
      append_utf8(c, text[byte]);
      byte_of[c] = byte;
    }
  }
};

const ByteTable& table() {
  static const ByteTable instance;
  return instance;
}

}  // namespace

const std::string& byte_level_text(unsigned char byte) {
  return table().text[byte];
}

bool byte_level_bytes(std::string_view text, std::string& bytes) {
  bytes.clear();
  const auto& byte_of = table().byte_of;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    if (c.value >= byte_of.size() || byte_of[c.value] < 0) return false;
    bytes.push_back(static_cast<char>(byte_of[c.value]));
    at += c.bytes;
  }
  return true;
}

std::string byte_token_text(unsigned char byte) {
  return fmt::format("<0x{:02X}>", byte);
}

int byte_token_value(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x")) return -1;
  for (int byte = 0; byte < 256; ++byte) {
    if (text == byte_token_text(static_cast<unsigned char>(byte))) return byte;
  }
  return -1;
}

std::string marks_to_spaces(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::size_t done = 0;
  for (std::size_t at; (at = text.find(kSpaceMark, done)) != std::string_view::npos;) {
    out.append(text.substr(done, at - done)).push_back(' ');
    done = at + kSpaceMark.size();
  }
  out.append(text.substr(done));
  return out;
}

std::string spaces_to_marks(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  for (const char c : text) {
    if (c == ' ') {
      out.append(kSpaceMark);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace outsize
