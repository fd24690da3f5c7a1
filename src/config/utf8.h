// Is this text, or bytes that only look like it?
#pragma once

#include <cstddef>
#include <string_view>

namespace outsize {

// Offset of the first byte that does not belong to well-formed UTF-8 (RFC 3629: no surrogates, no
// overlong forms) or is a control character other than tab, line feed and carriage return;
// text.size() when there is none.
std::size_t find_bad_text(std::string_view text);

}  // namespace outsize
