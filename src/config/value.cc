#include "config/value.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

namespace outsize {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t bytes;
};

constexpr std::array<Unit, 9> kUnits{{{"B", 1},
                                      {"kB", 1000},
                                      {"MB", 1000'000},
                                      {"GB", 1000'000'000},
                                      {"TB", 1000'000'000'000},
                                      {"KiB", std::int64_t{1} << 10},
                                      {"MiB", std::int64_t{1} << 20},
                                      {"GiB", std::int64_t{1} << 30},
                                      {"TiB", std::int64_t{1} << 40}}};

constexpr std::int64_t kMaxBytes = std::int64_t{1} << 62;

// "+1" is a number, "+-1" is none.
std::string_view without_plus(std::string_view text) {
  const bool plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
  return plus ? text.substr(1) : text;
}

// number × unit, in whole numbers where the number is one: a double would round large sizes.
std::optional<std::int64_t> times_unit(std::string_view number, std::int64_t unit) {
  if (const auto whole = parse_integer(number)) {
    std::int64_t bytes = 0;
    if (__builtin_mul_overflow(*whole, unit, &bytes) || bytes < 0 || bytes > kMaxBytes)
      return std::nullopt;
    return bytes;
  }
  const auto real = parse_real(number);
  if (!real) return std::nullopt;
  const double bytes = *real * static_cast<double>(unit);
  if (!(bytes >= 0 && bytes <= static_cast<double>(kMaxBytes))) return std::nullopt;
  return std::llround(bytes);
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if ((a[i] | 0x20) != (b[i] | 0x20)) return false;
  return true;
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Plain YAML scalars that no reader takes for a number, a null, a truth value or syntax.
bool is_plain(std::string_view text) {
  if (text.empty() || !(is_letter(text[0]) || text[0] == '/' || text[0] == '_')) return false;
  for (char c : text)
    if (!is_letter(c) && !is_digit(c) && c != '/' && c != '_' && c != '-' && c != '.') return false;
  for (std::string_view word : {"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
    if (equal_ignoring_case(text, word)) return false;
  return true;
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text) {
  text = without_plus(text);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> parse_real(std::string_view text) {
  text = without_plus(text);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

std::optional<bool> parse_bool(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

std::optional<std::int64_t> parse_size(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0 && is_letter(text[end - 1])) --end;
  const std::string_view unit_name = text.substr(end);
  if (unit_name.empty()) return parse_integer(text) ? times_unit(text, 1) : std::nullopt;
  while (end > 0 && text[end - 1] == ' ') --end;
  for (const Unit& unit : kUnits)
    if (equal_ignoring_case(unit.name, unit_name))
      return times_unit(text.substr(0, end), unit.bytes);
  return std::nullopt;
}

std::string format_real(double value) {
  return fmt::format("{}", value);
}

std::string format_size(std::int64_t bytes) {
  if (bytes == 0) return "0B";
  constexpr std::array<std::string_view, 5> kNames{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (unit + 1 < kNames.size() && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return fmt::format("{}{}", bytes, kNames[unit]);
}

std::string show_size(std::int64_t bytes) {
  constexpr std::array<std::string_view, 5> kNames{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (unit + 1 < kNames.size() && std::abs(value) >= 1024) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} B", bytes);
  return fmt::format("{:.1f} {}", value, kNames[unit]);
}

std::string format_text(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += fmt::format("\\x{:02x}", c);
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace outsize
