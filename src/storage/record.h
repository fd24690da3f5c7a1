// The one form that everything durable but the state itself has: a head page and a payload, sealed
// by checksums, so that a torn or damaged record is simply not there. Format: docs/DURABILITY.md.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "storage/aligned_buffer.h"

namespace outsize {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr std::uint64_t kRecordMagic = 0x31455A495354554F;  // "OUTSIZE1"
constexpr std::uint32_t kRecordVersion = 2;

enum class RecordKind : std::uint32_t { layout = 1, commit = 2, log = 3, progress = 4 };

// As it lies at the beginning of the head page.
struct RecordHead {
  std::uint64_t magic = kRecordMagic;
  std::uint32_t version = kRecordVersion;
  RecordKind kind = RecordKind::layout;
  std::uint64_t identity = 0;
  std::uint64_t sequence = 0;
  std::int64_t step = 0;
  std::uint64_t link = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t payload_sum = 0;
  std::uint64_t head_sum = 0;
};
static_assert(sizeof(RecordHead) == 72);

// Of the head page and the payload, in whole pages.
constexpr std::uint64_t record_bytes(std::uint64_t payload_bytes) {
  return kPageBytes + pages_up(payload_bytes);
}

// The payload begins one page into the buffer and has been filled in; sets sums and head.
// Returns head_sum.
std::uint64_t seal_record(RecordHead head, std::uint64_t payload_bytes, AlignedBuffer& buffer);

enum class RecordState { valid, damaged, unknown_version };

// `record`: a head page and `room` bytes of payload behind it, of which the head must not claim
// more. Reads the head into `head` if it is sound.
RecordState check_head(const std::byte* record, std::uint64_t room, RecordHead& head);
bool payload_is_sound(const std::byte* record, const RecordHead& head);

// Appends little-endian fields; layouts only, so it may allocate.
class PayloadWriter {
 public:
  template <class T>
  void put(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put_text(const std::string& text) {
    put(static_cast<std::uint32_t>(text.size()));
    text_ += text;
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

// Never reads behind the end: throws Corruption with the path instead.
class PayloadReader {
 public:
  PayloadReader(const std::string& text, const std::string& path) : text_(text), path_(path) {}
  template <class T>
  T get() {
    T value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  std::string get_text() {
    const auto bytes = get<std::uint32_t>();
    return std::string(take(bytes), bytes);
  }
  void require_end() const;

 private:
  const char* take(std::uint64_t bytes);

  const std::string& text_;
  const std::string& path_;
  std::uint64_t at_ = 0;
};

}  // namespace outsize
