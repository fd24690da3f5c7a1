// One metadata value of a GGUF file: a scalar, a string, or a list of them, kept as it lies in the
// file so that a vocabulary of 262,144 entries is two allocations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace outsize {

// Numbers as in the file.
enum class GgufKind : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  text = 8,
  list = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

const char* name_of(GgufKind kind);
// Bytes of one scalar in the file; 0 for text, list and unknown kinds.
std::size_t size_of(GgufKind kind);

class GgufValue {
 public:
  static GgufValue of_u8(std::uint8_t value);
  static GgufValue of_u32(std::uint32_t value);
  static GgufValue of_i32(std::int32_t value);
  static GgufValue of_u64(std::uint64_t value);
  static GgufValue of_f32(float value);
  static GgufValue of_bool(bool value);
  static GgufValue of_text(std::string_view value);
  static GgufValue of_i32s(std::span<const std::int32_t> values);
  static GgufValue of_f32s(std::span<const float> values);
  static GgufValue of_texts(std::span<const std::string> values);

  // A value of `element`s from their bytes in the file; text needs add_text() instead.
  static GgufValue of_bytes(GgufKind element, bool is_list, std::string bytes);
  // An empty list of strings, or a string still without its one element.
  static GgufValue of_no_texts(bool is_list);
  void add_text(std::string_view text);

  bool is_list() const { return is_list_; }
  // The kind of a scalar, or of a list's elements.
  GgufKind element() const { return element_; }
  // Elements; 1 for a scalar.
  std::size_t size() const;

  // Element i (i < size()), if it is of such a kind: whole number of any width that fits; any
  // number or f32/f64; bool; string. Text views live as long as this value.
  std::optional<std::int64_t> integer(std::size_t i = 0) const;
  std::optional<double> number(std::size_t i = 0) const;
  std::optional<bool> boolean(std::size_t i = 0) const;
  std::optional<std::string_view> text(std::size_t i = 0) const;

  // The value after its kind, as it lies in the file.
  std::string encoded() const;

  bool operator==(const GgufValue&) const = default;

 private:
  GgufValue(GgufKind element, bool is_list) : element_(element), is_list_(is_list) {}
  template <class T>
  T load(std::size_t i) const;

  GgufKind element_;
  bool is_list_;
  std::string bytes_;                // scalars side by side, or strings end to end
  std::vector<std::uint64_t> ends_;  // of each string within bytes_
};

// In file order.
using GgufMetadata = std::vector<std::pair<std::string, GgufValue>>;

}  // namespace outsize
