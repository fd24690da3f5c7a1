// Attributes of a node: a small ordered map from name to number or list of numbers. Data, not a
// class per op, so that graphs print, compare and hash without knowing the ops.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace outsize {

using AttrValue = std::variant<std::int64_t, double, std::vector<double>>;

class Attrs {
 public:
  Attrs() = default;
  Attrs(std::initializer_list<std::pair<std::string, AttrValue>> items);

  void set(std::string_view name, AttrValue value);
  bool has(std::string_view name) const;
  // A missing name or another type throws Internal: attributes are written by our own builders.
  std::int64_t integer(std::string_view name) const;
  double real(std::string_view name) const;
  const std::vector<double>& list(std::string_view name) const;
  // The default when the name is missing.
  std::int64_t integer_or(std::string_view name, std::int64_t fallback) const;

  bool operator==(const Attrs&) const = default;

 private:
  friend std::string to_string(const Attrs& attrs);
  const AttrValue* find(std::string_view name) const;

  std::vector<std::pair<std::string, AttrValue>> items_;  // sorted by name
};

// "{eps=1e-06, heads=4}"; exact (shortest round-trip digits), so equal text means equal attributes.
std::string to_string(const Attrs& attrs);

}  // namespace outsize
