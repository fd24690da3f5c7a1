// Writes JSON text piece by piece: a vocabulary of 262,144 tokens needs no tree in memory.
#pragma once

#include <string>
#include <string_view>

namespace outsize {

// `text` (valid UTF-8) as a JSON string, in quotes.
std::string json_quoted(std::string_view text);

}  // namespace outsize
