#include "formats/gguf_header.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace outsize {
namespace {

constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{1} << 30;
constexpr std::uint64_t kMaxTextBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kBufferBytes = 256 * 1024;

}  // namespace

GgufHeaderReader::GgufHeaderReader(const File& file)
    : file_(file), limit_(std::min(file.size(), kMaxHeaderBytes)) {}

void GgufHeaderReader::read(void* destination, std::uint64_t bytes) {
  if (bytes > left())
    fail(ErrorKind::Corruption,
         "[gguf] {}: the header ends early; got {} bytes; expected {} more at {}", file_.path(),
         limit_, bytes, position_);
  char* target = static_cast<char*>(destination);
  while (bytes > 0) {
    if (position_ >= buffer_start_ + buffer_.size()) {
      buffer_.resize(std::min(kBufferBytes, left()));
      buffer_start_ = position_;
      file_.read_at(position_, buffer_.data(), buffer_.size());
    }
    const std::uint64_t from = position_ - buffer_start_;
    const std::uint64_t now = std::min(bytes, buffer_.size() - from);
    std::memcpy(target, buffer_.data() + from, now);
    target += now;
    position_ += now;
    bytes -= now;
  }
}

std::uint32_t GgufHeaderReader::read_u32() {
  std::uint32_t value;
  read(&value, sizeof value);
  return value;
}

std::uint64_t GgufHeaderReader::read_u64() {
  std::uint64_t value;
  read(&value, sizeof value);
  return value;
}

std::uint64_t GgufHeaderReader::read_count(std::uint64_t item_bytes, const char* what) {
  const std::uint64_t count = read_u64();
  if (count > left() / item_bytes)
    fail(ErrorKind::Corruption, "[gguf] {}: {} {} cannot fit; got {} bytes left at {}",
         file_.path(), count, what, left(), position_);
  return count;
}

std::string GgufHeaderReader::read_text(std::uint64_t max_bytes, const char* what) {
  const std::uint64_t bytes = read_u64();
  if (bytes > max_bytes || bytes > left())
    fail(ErrorKind::Corruption, "[gguf] {}: {} of {} bytes at {} is too long; expected at most {}",
         file_.path(), what, bytes, position_, std::min(max_bytes, left()));
  std::string text(bytes, '\0');
  read(text.data(), bytes);
  return text;
}

GgufValue GgufHeaderReader::read_value(const std::string& key) {
  const auto kind = static_cast<GgufKind>(read_u32());
  if (kind != GgufKind::list) return read_elements(kind, false, 1, key);
  const auto element = static_cast<GgufKind>(read_u32());
  if (element == GgufKind::list)
    fail(ErrorKind::Unsupported, "[gguf] {}: key '{}' is a list of lists", file_.path(), key);
  const std::uint64_t item_bytes =
      element == GgufKind::text ? 8 : std::max<std::uint64_t>(1, size_of(element));
  return read_elements(element, true, read_count(item_bytes, "list elements"), key);
}

GgufValue GgufHeaderReader::read_elements(GgufKind element, bool is_list, std::uint64_t count,
                                          const std::string& key) {
  if (element == GgufKind::text) {
    GgufValue texts = GgufValue::of_no_texts(is_list);
    for (std::uint64_t i = 0; i < count; ++i) texts.add_text(read_text(kMaxTextBytes, "string"));
    return texts;
  }
  const std::uint64_t width = size_of(element);
  if (width == 0)
    fail(ErrorKind::Corruption, "[gguf] {}: key '{}' has unknown kind {}; expected 0 to 12",
         file_.path(), key, static_cast<std::uint32_t>(element));
  if (count * width > left())
    fail(ErrorKind::Corruption, "[gguf] {}: key '{}' does not fit; got {} bytes left; expected {}",
         file_.path(), key, left(), count * width);
  std::string bytes(count * width, '\0');
  read(bytes.data(), bytes.size());
  const bool is_bool = element == GgufKind::boolean;
  if (is_bool && std::any_of(bytes.begin(), bytes.end(), [](char c) { return c != 0 && c != 1; }))
    fail(ErrorKind::Corruption, "[gguf] {}: key '{}' holds a bool that is neither 0 nor 1",
         file_.path(), key);
  return GgufValue::of_bytes(element, is_list, std::move(bytes));
}

}  // namespace outsize
