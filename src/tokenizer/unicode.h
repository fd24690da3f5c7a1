// Character classes and normal forms, as the peers' regex engines and normalizers see them.
// Classes follow Unicode 16 (tokenizers 0.23): utf8proc's data plus what was assigned after it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace outsize {

enum class CharClass : std::uint8_t {
  Other,   // [^\s\p{L}\p{N}]
  Letter,  // \p{L}
  Number,  // \p{N}
  Space,   // \s: the White_Space property
};

// Class of every code point below 0x110000; made on first use, thread-safe.
const CharClass* char_classes();
// The same, with the numbers of Unicode 15.1 and 16 as Other: how llama.cpp sees them.
const CharClass* char_classes_without_new_numbers();

enum class NormalForm { Nfc, Nfd, Nfkc, Nfkd };

// Whether \w matches at `at`: letters, marks, decimal digits, connectors and the joiners.
bool is_word_character(std::string_view text, std::size_t at);

// `text` must be valid UTF-8. O(n log n) at worst (long runs of combining marks).
std::string normalize(std::string_view text, NormalForm form);

}  // namespace outsize
