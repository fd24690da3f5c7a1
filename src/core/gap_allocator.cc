#include "core/gap_allocator.h"

#include <algorithm>

namespace outsize {

std::int64_t GapAllocator::take(std::int64_t bytes, std::int64_t alignment) {
  bytes = aligned(bytes);
  const auto round_up = [&](std::int64_t offset) {
    return (offset + alignment - 1) & ~(alignment - 1);
  };
  auto gap = std::find_if(gaps_.begin(), gaps_.end(),
                          [&](const Gap& g) { return g.end - round_up(g.begin) >= bytes; });
  if (gap == gaps_.end()) {
    // Nothing fits: extend the last gap when it touches the end.
    const std::int64_t begin =
        !gaps_.empty() && gaps_.back().end == end_ ? gaps_.back().begin : end_;
    if (begin == end_) gaps_.push_back({begin, begin});
    end_ = gaps_.back().end = round_up(begin) + bytes;
    gap = std::prev(gaps_.end());
  }
  const auto [begin, end] = *gap;
  const std::int64_t offset = round_up(begin);
  const Gap before{begin, offset}, after{offset + bytes, end};
  if (before.begin == before.end && after.begin == after.end) {
    gaps_.erase(gap);
  } else if (before.begin == before.end) {
    *gap = after;
  } else {
    *gap = before;
    if (after.begin < after.end) gaps_.insert(gap + 1, after);
  }
  return offset;
}

void GapAllocator::give(std::int64_t offset, std::int64_t bytes) {
  bytes = aligned(bytes);
  if (bytes == 0) return;
  const auto next =
      std::lower_bound(gaps_.begin(), gaps_.end(), offset,
                       [](const Gap& gap, std::int64_t begin) { return gap.begin < begin; });
  const bool joins_next = next != gaps_.end() && next->begin == offset + bytes;
  if (next != gaps_.begin() && std::prev(next)->end == offset) {
    std::prev(next)->end = joins_next ? next->end : offset + bytes;
    if (joins_next) gaps_.erase(next);
  } else if (joins_next) {
    next->begin = offset;
  } else {
    gaps_.insert(next, {offset, offset + bytes});
  }
}

}  // namespace outsize
