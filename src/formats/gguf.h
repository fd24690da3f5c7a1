// Reading GGUF versions 2 and 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md),
// little-endian: metadata, tensor descriptions, and tensor bytes dequantised as they are read. Only
// the header is kept in memory.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/file.h"
#include "core/shape.h"
#include "formats/gguf_quants.h"
#include "formats/gguf_value.h"

namespace outsize {

struct GgufTensor {
  std::string name;
  Shape shape;               // outermost first: the file's sizes reversed
  std::uint32_t type = 0;    // a GgmlType, or another number that find_ggml_type() knows
  std::uint64_t offset = 0;  // of the first byte, from the start of the file
  std::uint64_t bytes = 0;
};

// One GGUF file, fully checked on opening: counts and lengths against the file size before anything
// is allocated, no key or tensor twice, sizes without overflow, tensors aligned, within the file
// and apart. Reading is safe from several threads.
class GgufFile {
 public:
  static constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
  static constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

  // Throws Corruption when the file is not valid, Unsupported for other versions, big-endian files,
  // lists of lists and unknown tensor types, Io when it cannot be read; names file and key or
  // tensor.
  explicit GgufFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  std::uint32_t version() const { return version_; }
  // In file order.
  const GgufMetadata& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }

  // Null when the key is absent.
  const GgufValue* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }
  // Typed values. Throw InvalidArgument naming file and key: the required forms when the key is
  // absent, all forms when its value has another type or is out of range.
  std::int64_t integer(std::string_view key, std::int64_t min = kMin,
                       std::int64_t max = kMax) const;
  std::int64_t integer_or(std::string_view key, std::int64_t fallback, std::int64_t min = kMin,
                          std::int64_t max = kMax) const;
  double number(std::string_view key) const;
  double number_or(std::string_view key, double fallback) const;
  bool boolean(std::string_view key) const;
  bool boolean_or(std::string_view key, bool fallback) const;
  std::string text(std::string_view key) const;
  std::string text_or(std::string_view key, std::string fallback) const;
  // Lists. A scalar counts as a list of one for integers() (per-layer values come both ways). The
  // list of strings is borrowed: element i is *texts(key).text(i).
  std::vector<std::int64_t> integers(std::string_view key) const;
  std::vector<float> numbers(std::string_view key) const;
  const GgufValue& texts(std::string_view key) const;

  const GgufTensor* find_tensor(std::string_view name) const;
  // Elements [first_element, first_element + count) of a tensor as f32. Any range, but whole blocks
  // are read, so ranges of whole rows waste nothing. Uses 64 KiB of memory whatever the count.
  // Throws InvalidArgument for an absent tensor or range, Unsupported for a type without decoder.
  void read_f32(std::string_view name, std::int64_t first_element, std::int64_t count,
                float* destination) const;

  // Throws InvalidArgument "<file>: key '<key>' <what>".
  [[noreturn]] void fail_key(std::string_view key, std::string_view what) const;

 private:
  const GgufValue& required(std::string_view key) const;
  // The value, which must not be a list.
  const GgufValue& scalar(std::string_view key) const;
  void index_names();
  void check_tensors(std::uint64_t data_start, std::uint64_t alignment);

  File file_;
  std::uint32_t version_ = 0;
  GgufMetadata metadata_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string_view, std::size_t> keys_;          // views into metadata_
  std::unordered_map<std::string_view, std::size_t> tensor_index_;  // views into tensors_
};

}  // namespace outsize
