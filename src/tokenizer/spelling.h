// How vocabularies spell what text cannot show: bytes as printable characters (GPT-2) or as <0xNN>,
// spaces as U+2581 (SentencePiece).
#pragma once

#include <string>
#include <string_view>

namespace outsize {

inline constexpr std::string_view kSpaceMark = "\u2581";

// "<0x0A>" for 10, and back; -1 for other texts.
std::string byte_token_text(unsigned char byte);
int byte_token_value(std::string_view text);

// The character (UTF-8) that stands for a byte in byte-level vocabularies.
const std::string& byte_level_text(unsigned char byte);
// The bytes that `text` (valid UTF-8) stands for; false when a character is not in the table.
bool byte_level_bytes(std::string_view text, std::string& bytes);

// Each U+2581 becomes a space, and back.
std::string marks_to_spaces(std::string_view text);
std::string spaces_to_marks(std::string_view text);

}  // namespace outsize
