#include "storage/record.h"

#include <cstddef>

#include "core/error.h"
#include "storage/checksum.h"

namespace outsize {
namespace {

constexpr std::size_t kSealedBytes = offsetof(RecordHead, head_sum);

}  // namespace

std::uint64_t seal_record(RecordHead head, std::uint64_t payload_bytes, AlignedBuffer& buffer) {
  const std::uint64_t used = kPageBytes + payload_bytes;
  std::memset(buffer.data() + used, 0, pages_up(used) - used);  // nothing of an older record
  head.payload_bytes = payload_bytes;
  head.payload_sum = checksum(buffer.data() + kPageBytes, payload_bytes);
  head.head_sum = checksum(&head, kSealedBytes);
  std::memset(buffer.data(), 0, kPageBytes);
  std::memcpy(buffer.data(), &head, sizeof head);
  return head.head_sum;
}

RecordState check_head(const std::byte* record, std::uint64_t room, RecordHead& head) {
  std::memcpy(&head, record, sizeof head);
  if (head.magic != kRecordMagic || head.head_sum != checksum(&head, kSealedBytes))
    return RecordState::damaged;
  if (head.version != kRecordVersion) return RecordState::unknown_version;
  return head.payload_bytes <= room ? RecordState::valid : RecordState::damaged;
}

bool payload_is_sound(const std::byte* record, const RecordHead& head) {
  return head.payload_sum == checksum(record + kPageBytes, head.payload_bytes);
}

const char* PayloadReader::take(std::uint64_t bytes) {
  if (bytes > text_.size() - at_)
    fail(ErrorKind::Corruption, "[{}] the layout ends early; got {} bytes; expected {} more at {}",
         path_, text_.size(), bytes, at_);
  const char* found = text_.data() + at_;
  at_ += bytes;
  return found;
}

void PayloadReader::require_end() const {
  if (at_ != text_.size())
    fail(ErrorKind::Corruption, "[{}] the layout is too long; got {} bytes; expected {}", path_,
         text_.size(), at_);
}

}  // namespace outsize
