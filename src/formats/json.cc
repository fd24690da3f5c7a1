#include "formats/json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "core/file.h"

namespace outsize {
namespace {

using nlohmann::json;

// Field names and values come from the file: messages show at most this much of them.
std::string shortened(std::string_view text) {
  constexpr std::size_t kMaxShown = 120;
  if (text.size() <= kMaxShown) return std::string(text);
  return std::string(text.substr(0, kMaxShown)) + "…";
}

// Builds the value as the library's own builder does, and watches depth and repeated keys.
class Builder : public nlohmann::json_sax<json> {
 public:
  Builder(std::string_view text, const std::string& file, const JsonLimits& limits)
      : text_(text), file_(file), limits_(limits) {}

  json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(json::value_t::object); }
  bool start_array(std::size_t) override { return open(json::value_t::array); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    json::object_t& object = open_.back()->get_ref<json::object_t&>();
    const auto [place, is_new] = object.try_emplace(std::move(name));
    if (!is_new && !limits_.allow_duplicate_keys)
      fail(ErrorKind::Corruption, "[json] {}: key '{}' appears twice in one object", file_,
           shortened(place->first));
    slot_ = &place->second;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const json::exception& error) override {
    position = std::min(position, text_.size());
    const auto line =
        1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(position), '\n');
    std::string reason = error.what();
    // The library quotes the whole token it stopped in, which may be megabytes.
    reason = reason.substr(reason.find("] ") == std::string::npos ? 0 : reason.find("] ") + 2);
    reason = reason.substr(0, reason.find("; last read"));
    fail(ErrorKind::Corruption, "[json] {}: line {}, byte {}: not valid JSON; got {}", file_, line,
         position, shortened(reason));
  }

 private:
  template <class Value>
  bool add(Value&& value) {
    *place() = std::forward<Value>(value);
    return true;
  }

  // Where the next value belongs: the root, the end of an array, or the member just named.
  json* place() {
    if (open_.empty()) return &root_;
    if (open_.back()->is_array()) return &open_.back()->emplace_back();
    return slot_;
  }

  bool open(json::value_t type) {
    if (static_cast<int>(open_.size()) >= limits_.max_depth)
      fail(ErrorKind::Corruption, "[json] {}: nested too deeply; expected at most {} levels", file_,
           limits_.max_depth);
    json* value = place();
    *value = json(type);
    open_.push_back(value);
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::string& file_;
  const JsonLimits& limits_;
  json root_;
  std::vector<json*> open_;  // only the innermost grows, so the outer addresses stay
  json* slot_ = nullptr;
};

std::optional<std::int64_t> whole_number(const json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(JsonFields::kMax)) return std::nullopt;
    return static_cast<std::int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::abs(number) <= 0x1p53 && number == std::floor(number))
      return static_cast<std::int64_t>(number);
  }
  return std::nullopt;
}

std::string describe(const json& value) {
  return fmt::format("{} {}", value.type_name(),
                     value.is_structured() ? "" : shortened(value.dump()));
}

}  // namespace

json parse_json(std::string_view text, const std::string& file, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes)
    fail(ErrorKind::InvalidArgument, "[json] {}: too large; got {} bytes; expected at most {}",
         file, text.size(), limits.max_bytes);
  Builder builder(text, file, limits);
  json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

json read_json(const std::string& path, const JsonLimits& limits) {
  return parse_json(read_text(path, limits.max_bytes), path, limits);
}

JsonFields::JsonFields(const json& object, std::string file, std::string prefix)
    : object_(&object), file_(std::move(file)), prefix_(std::move(prefix)) {
  if (!object.is_object())
    fail(ErrorKind::InvalidArgument, "[json] {}: {} is not an object; got {}", file_,
         prefix_.empty() ? "the file" : "'" + prefix_ + "'", describe(object));
}

const json* JsonFields::find(std::string_view field) const {
  const auto place = object_->find(field);
  return place == object_->end() || place->is_null() ? nullptr : &*place;
}

const json& JsonFields::required(std::string_view field) const {
  const json* value = find(field);
  if (value == nullptr) fail_field(field, "is missing");
  return *value;
}

void JsonFields::fail_field(std::string_view field, std::string_view what) const {
  fail(ErrorKind::InvalidArgument, "[json] {}: field '{}{}' {}", file_, prefix_, shortened(field),
       what);
}

std::int64_t JsonFields::integer(std::string_view field, std::int64_t min, std::int64_t max) const {
  const json& value = required(field);
  const std::optional<std::int64_t> number = whole_number(value);
  if (!number)
    fail_field(field,
               fmt::format("has the wrong type; got {}; expected a whole number", describe(value)));
  if (*number < min || *number > max)
    fail_field(field, fmt::format("is out of range; got {}; expected {} to {}", *number, min, max));
  return *number;
}

std::int64_t JsonFields::integer_or(std::string_view field, std::int64_t fallback, std::int64_t min,
                                    std::int64_t max) const {
  return has(field) ? integer(field, min, max) : fallback;
}

double JsonFields::number(std::string_view field) const {
  const json& value = required(field);
  if (!value.is_number())
    fail_field(field,
               fmt::format("has the wrong type; got {}; expected a number", describe(value)));
  return value.get<double>();
}

double JsonFields::number_or(std::string_view field, double fallback) const {
  return has(field) ? number(field) : fallback;
}

bool JsonFields::boolean(std::string_view field) const {
  const json& value = required(field);
  if (!value.is_boolean())
    fail_field(field,
               fmt::format("has the wrong type; got {}; expected true or false", describe(value)));
  return value.get<bool>();
}

bool JsonFields::boolean_or(std::string_view field, bool fallback) const {
  return has(field) ? boolean(field) : fallback;
}

std::string JsonFields::text(std::string_view field) const {
  const json& value = required(field);
  if (!value.is_string())
    fail_field(field,
               fmt::format("has the wrong type; got {}; expected a string", describe(value)));
  return value.get<std::string>();
}

std::string JsonFields::text_or(std::string_view field, std::string fallback) const {
  return has(field) ? text(field) : std::move(fallback);
}

std::vector<std::int64_t> JsonFields::integers(std::string_view field) const {
  std::vector<std::int64_t> numbers;
  const json* value = find(field);
  if (value == nullptr) return numbers;
  const auto add = [&](const json& item) {
    const std::optional<std::int64_t> number = whole_number(item);
    if (!number)
      fail_field(field, fmt::format("holds the wrong type; got {}; expected whole numbers",
                                    describe(item)));
    numbers.push_back(*number);
  };
  if (!value->is_array()) {
    add(*value);
  } else {
    for (const json& item : *value) add(item);
  }
  return numbers;
}

std::vector<std::string> JsonFields::texts(std::string_view field) const {
  std::vector<std::string> strings;
  const json* value = find(field);
  if (value == nullptr) return strings;
  const auto add = [&](const json& item) {
    if (!item.is_string())
      fail_field(field,
                 fmt::format("holds the wrong type; got {}; expected strings", describe(item)));
    strings.push_back(item.get<std::string>());
  };
  if (!value->is_array()) {
    add(*value);
  } else {
    for (const json& item : *value) add(item);
  }
  return strings;
}

JsonFields JsonFields::object(std::string_view field) const {
  const json& value = required(field);
  return JsonFields(value, file_, fmt::format("{}{}.", prefix_, shortened(field)));
}

std::optional<JsonFields> JsonFields::object_or_none(std::string_view field) const {
  if (!has(field)) return std::nullopt;
  return object(field);
}

}  // namespace outsize
