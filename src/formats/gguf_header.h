// Walks the variable-length part of a GGUF file with every length checked against what is left.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/file.h"
#include "formats/gguf_value.h"

namespace outsize {

class GgufHeaderReader {
 public:
  explicit GgufHeaderReader(const File& file);

  std::uint64_t position() const { return position_; }
  // Bytes a header may still take: to the end of the file, at most 1 GiB from its start.
  std::uint64_t left() const { return limit_ - position_; }

  std::uint32_t read_u32();
  std::uint64_t read_u64();
  // A count of items of at least `item_bytes` each. Throws Corruption when they cannot fit.
  std::uint64_t read_count(std::uint64_t item_bytes, const char* what);
  // u64 length and bytes. Throws Corruption when longer than max_bytes or the file.
  std::string read_text(std::uint64_t max_bytes, const char* what);
  // A u32 kind and its value. `key` is for messages.
  GgufValue read_value(const std::string& key);

 private:
  void read(void* destination, std::uint64_t bytes);
  GgufValue read_elements(GgufKind element, bool is_list, std::uint64_t count,
                          const std::string& key);

  const File& file_;
  std::uint64_t limit_;
  std::uint64_t position_ = 0;
  std::vector<char> buffer_;  // bytes of the file from buffer_start_
  std::uint64_t buffer_start_ = 0;
};

}  // namespace outsize
