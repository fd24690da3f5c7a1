// Single values as text: how options and machine files write numbers, sizes and names, both ways.
// parse_x(format_x(v)) == v, bit for bit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace outsize {

// Decimal digits with an optional sign; empty when the text is anything else or does not fit.
std::optional<std::int64_t> parse_integer(std::string_view text);
// 1, -0.5, 2e-4; empty for infinities, NaN, hexadecimal, trailing text, and what overflows.
std::optional<double> parse_real(std::string_view text);
// "true" or "false".
std::optional<bool> parse_bool(std::string_view text);
// Bytes: a number and one of B kB MB GB TB (powers of 1000) or KiB MiB GiB TiB (powers of 1024),
// in any case, a blank between them or not; a bare whole number is bytes. Empty for anything else,
// for less than zero and for more than 2^62.
std::optional<std::int64_t> parse_size(std::string_view text);

// Shortest text that reads back as the same value.
std::string format_real(double value);
// In the largest binary unit that divides it: "4GiB", "1536MiB", "1000B".
std::string format_size(std::int64_t bytes);
// For reading, not for reading back: "3.7 GiB".
std::string show_size(std::int64_t bytes);
// A YAML scalar that reads back as exactly this text, in double quotes where it has to be.
std::string format_text(std::string_view text);

}  // namespace outsize
