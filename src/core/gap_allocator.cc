#include "core/gap_allocator.h"

namespace outsize {

std::int64_t GapAllocator::take(std::int64_t bytes) {
  bytes = aligned(bytes);
  for (auto gap = gaps_.begin(); gap != gaps_.end(); ++gap) {
    if (gap->second < bytes) continue;
    const std::int64_t offset = gap->first, left = gap->second - bytes;
    gaps_.erase(gap);
    if (left > 0) gaps_[offset + bytes] = left;
    return offset;
  }
  // Nothing fits: extend the last gap when it touches the end.
  std::int64_t offset = end_;
  if (!gaps_.empty() && gaps_.rbegin()->first + gaps_.rbegin()->second == end_) {
    offset = gaps_.rbegin()->first;
    gaps_.erase(std::prev(gaps_.end()));
  }
  end_ = offset + bytes;
  return offset;
}

void GapAllocator::give(std::int64_t offset, std::int64_t bytes) {
  bytes = aligned(bytes);
  if (bytes == 0) return;
  auto next = gaps_.lower_bound(offset);
  if (next != gaps_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == offset) {
      offset = before->first;
      bytes += before->second;
      gaps_.erase(before);
    }
  }
  if (next != gaps_.end() && offset + bytes == next->first) {
    bytes += next->second;
    gaps_.erase(next);
  }
  gaps_[offset] = bytes;
}

}  // namespace outsize
