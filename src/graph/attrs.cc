#include "graph/attrs.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace outsize {

Attrs::Attrs(std::initializer_list<std::pair<std::string, AttrValue>> items) {
  for (const auto& [name, value] : items) set(name, value);
}

void Attrs::set(std::string_view name, AttrValue value) {
  auto at =
      std::lower_bound(items_.begin(), items_.end(), name,
                       [](const auto& item, std::string_view key) { return item.first < key; });
  if (at != items_.end() && at->first == name) {
    at->second = std::move(value);
  } else {
    items_.insert(at, {std::string(name), std::move(value)});
  }
}

const AttrValue* Attrs::find(std::string_view name) const {
  for (const auto& [key, value] : items_)
    if (key == name) return &value;
  return nullptr;
}

bool Attrs::has(std::string_view name) const {
  return find(name) != nullptr;
}

std::int64_t Attrs::integer(std::string_view name) const {
  const AttrValue* value = find(name);
  ensure(value && std::holds_alternative<std::int64_t>(*value), "[attrs] no integer '{}'", name);
  return std::get<std::int64_t>(*value);
}

double Attrs::real(std::string_view name) const {
  const AttrValue* value = find(name);
  ensure(value && std::holds_alternative<double>(*value), "[attrs] no real '{}'", name);
  return std::get<double>(*value);
}

const std::vector<double>& Attrs::list(std::string_view name) const {
  const AttrValue* value = find(name);
  ensure(value && std::holds_alternative<std::vector<double>>(*value), "[attrs] no list '{}'",
         name);
  return std::get<std::vector<double>>(*value);
}

std::int64_t Attrs::integer_or(std::string_view name, std::int64_t fallback) const {
  return has(name) ? integer(name) : fallback;
}

std::string to_string(const Attrs& attrs) {
  std::string text = "{";
  for (const auto& [name, value] : attrs.items_) {
    if (text.size() > 1) text += ", ";
    text += name + "=";
    if (const auto* integer = std::get_if<std::int64_t>(&value))
      text += fmt::format("{}", *integer);
    if (const auto* real = std::get_if<double>(&value)) text += fmt::format("{:.17g}", *real);
    if (const auto* list = std::get_if<std::vector<double>>(&value)) {
      text += "[";
      for (double item : *list) text += fmt::format("{:.17g},", item);
      text += "]";
    }
  }
  return text + "}";
}

}  // namespace outsize
