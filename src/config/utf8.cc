#include "config/utf8.h"

#include <cstdint>

namespace outsize {
namespace {

// Bytes of the well-formed sequence at the start of `text`, 0 when there is none.
std::size_t sequence_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(0);
  if (first < 0x80) {
    const bool printable = first >= 0x20 && first != 0x7f;
    return printable || first == '\t' || first == '\n' || first == '\r' ? 1 : 0;
  }
  if (first < 0xc2 || first > 0xf4) return 0;
  const std::size_t bytes = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (text.size() < bytes) return 0;
  for (std::size_t i = 1; i < bytes; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  // Second bytes that would make an overlong form, a surrogate or a code point above 10ffff.
  if (first == 0xe0 && byte(1) < 0xa0) return 0;
  if (first == 0xed && byte(1) >= 0xa0) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) >= 0x90) return 0;
  return bytes;
}

}  // namespace

std::size_t find_bad_text(std::string_view text) {
  std::size_t offset = 0;
  while (offset < text.size()) {
    const std::size_t bytes = sequence_bytes(text.substr(offset));
    if (bytes == 0) return offset;
    offset += bytes;
  }
  return offset;
}

}  // namespace outsize
