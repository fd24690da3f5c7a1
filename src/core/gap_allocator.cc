#include "core/gap_allocator.h"

namespace outsize {

std::int64_t GapAllocator::take(std::int64_t bytes, std::int64_t alignment) {
  bytes = aligned(bytes);
  const auto round_up = [&](std::int64_t offset) {
    return (offset + alignment - 1) / alignment * alignment;
  };
  for (auto gap = gaps_.begin(); gap != gaps_.end(); ++gap) {
    const std::int64_t begin = gap->first, end = begin + gap->second, offset = round_up(begin);
    if (end - offset < bytes) continue;
    gaps_.erase(gap);
    if (offset > begin) gaps_[begin] = offset - begin;
    if (end > offset + bytes) gaps_[offset + bytes] = end - offset - bytes;
    return offset;
  }
  // Nothing fits: extend the last gap when it touches the end.
  std::int64_t begin = end_;
  if (!gaps_.empty() && gaps_.rbegin()->first + gaps_.rbegin()->second == end_) {
    begin = gaps_.rbegin()->first;
    gaps_.erase(std::prev(gaps_.end()));
  }
  const std::int64_t offset = round_up(begin);
  if (offset > begin) gaps_[begin] = offset - begin;
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
