// Strict UTF-8 (Unicode 15, table 3-7): no overlong forms, surrogates or values above U+10FFFF.
#pragma once

#include <cstddef>
#include <string_view>

namespace outsize {

// Offset of the first byte that does not begin a valid character; npos when all are valid.
std::size_t first_invalid_utf8(std::string_view text);

// Length in bytes of the valid character at the start of `text`; 0 when there is none.
std::size_t utf8_character_bytes(std::string_view text);

}  // namespace outsize
