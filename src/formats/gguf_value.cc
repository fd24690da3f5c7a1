#include "formats/gguf_value.h"

#include <cstring>

#include "core/error.h"

namespace outsize {
namespace {

template <class T>
std::string bytes_from(std::span<const T> values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

template <class T>
std::string bytes_from(const T& value) {
  return bytes_from(std::span<const T>(&value, 1));
}

}  // namespace

const char* name_of(GgufKind kind) {
  constexpr const char* kNames[] = {"u8",   "i8",     "u16",  "i16", "u32", "i32", "f32",
                                    "bool", "string", "list", "u64", "i64", "f64"};
  const auto index = static_cast<std::size_t>(kind);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

std::size_t size_of(GgufKind kind) {
  constexpr std::size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  const auto index = static_cast<std::size_t>(kind);
  return index < std::size(kSizes) ? kSizes[index] : 0;
}

GgufValue GgufValue::of_u8(std::uint8_t value) {
  return of_bytes(GgufKind::u8, false, bytes_from(value));
}
GgufValue GgufValue::of_u32(std::uint32_t value) {
  return of_bytes(GgufKind::u32, false, bytes_from(value));
}
GgufValue GgufValue::of_i32(std::int32_t value) {
  return of_bytes(GgufKind::i32, false, bytes_from(value));
}
GgufValue GgufValue::of_u64(std::uint64_t value) {
  return of_bytes(GgufKind::u64, false, bytes_from(value));
}
GgufValue GgufValue::of_f32(float value) {
  return of_bytes(GgufKind::f32, false, bytes_from(value));
}
GgufValue GgufValue::of_bool(bool value) {
  return of_bytes(GgufKind::boolean, false, std::string(1, value ? '\1' : '\0'));
}
GgufValue GgufValue::of_text(std::string_view value) {
  GgufValue text = of_no_texts(false);
  text.add_text(value);
  return text;
}
GgufValue GgufValue::of_i32s(std::span<const std::int32_t> values) {
  return of_bytes(GgufKind::i32, true, bytes_from(values));
}
GgufValue GgufValue::of_f32s(std::span<const float> values) {
  return of_bytes(GgufKind::f32, true, bytes_from(values));
}
GgufValue GgufValue::of_texts(std::span<const std::string> values) {
  GgufValue texts = of_no_texts(true);
  for (const std::string& value : values) texts.add_text(value);
  return texts;
}

GgufValue GgufValue::of_bytes(GgufKind element, bool is_list, std::string bytes) {
  const std::size_t width = size_of(element);
  ensure(width > 0 && bytes.size() % width == 0 && (is_list || bytes.size() == width),
         "[gguf] {} bytes are no value of {}", bytes.size(), name_of(element));
  GgufValue value(element, is_list);
  value.bytes_ = std::move(bytes);
  return value;
}

GgufValue GgufValue::of_no_texts(bool is_list) {
  return GgufValue(GgufKind::text, is_list);
}

void GgufValue::add_text(std::string_view text) {
  ensure(element_ == GgufKind::text && (is_list_ || ends_.empty()), "[gguf] not a list of strings");
  bytes_ += text;
  ends_.push_back(bytes_.size());
}

std::size_t GgufValue::size() const {
  return element_ == GgufKind::text ? ends_.size() : bytes_.size() / size_of(element_);
}

template <class T>
T GgufValue::load(std::size_t i) const {
  T value;
  std::memcpy(&value, bytes_.data() + i * sizeof value, sizeof value);
  return value;
}

std::optional<std::int64_t> GgufValue::integer(std::size_t i) const {
  ensure(i < size(), "[gguf] element {} of {}", i, size());
  switch (element_) {
    case GgufKind::u8:
      return load<std::uint8_t>(i);
    case GgufKind::i8:
      return load<std::int8_t>(i);
    case GgufKind::u16:
      return load<std::uint16_t>(i);
    case GgufKind::i16:
      return load<std::int16_t>(i);
    case GgufKind::u32:
      return load<std::uint32_t>(i);
    case GgufKind::i32:
      return load<std::int32_t>(i);
    case GgufKind::i64:
      return load<std::int64_t>(i);
    case GgufKind::u64: {
      const auto value = load<std::uint64_t>(i);
      if (value > INT64_MAX) return std::nullopt;
      return static_cast<std::int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

std::optional<double> GgufValue::number(std::size_t i) const {
  ensure(i < size(), "[gguf] element {} of {}", i, size());
  if (element_ == GgufKind::f32) return load<float>(i);
  if (element_ == GgufKind::f64) return load<double>(i);
  if (element_ == GgufKind::u64) return static_cast<double>(load<std::uint64_t>(i));
  const std::optional<std::int64_t> whole = integer(i);
  if (!whole) return std::nullopt;
  return static_cast<double>(*whole);
}

std::optional<bool> GgufValue::boolean(std::size_t i) const {
  ensure(i < size(), "[gguf] element {} of {}", i, size());
  if (element_ != GgufKind::boolean) return std::nullopt;
  return load<std::uint8_t>(i) != 0;
}

std::optional<std::string_view> GgufValue::text(std::size_t i) const {
  ensure(i < size(), "[gguf] element {} of {}", i, size());
  if (element_ != GgufKind::text) return std::nullopt;
  const std::uint64_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::string_view(bytes_).substr(begin, ends_[i] - begin);
}

std::string GgufValue::encoded() const {
  std::string out;
  if (is_list_) {
    out += bytes_from(static_cast<std::uint32_t>(element_));
    out += bytes_from(static_cast<std::uint64_t>(size()));
  }
  if (element_ != GgufKind::text) return out + bytes_;
  for (std::size_t i = 0; i < size(); ++i) {
    const std::string_view item = *text(i);
    out += bytes_from(static_cast<std::uint64_t>(item.size()));
    out += item;
  }
  return out;
}

}  // namespace outsize
