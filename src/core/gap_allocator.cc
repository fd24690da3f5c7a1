#include "core/gap_allocator.h"

#include <algorithm>

namespace outsize {

std::int64_t GapAllocator::take(std::int64_t bytes, std::int64_t alignment) {
  if (bytes == 0) return 0;
  bytes = aligned(bytes);
  const auto round_up = [&](std::int64_t offset) {
    return (offset + alignment - 1) & ~(alignment - 1);
  };
  auto gap = std::find_if(gaps_.begin(), gaps_.end(),
                          [&](const Gap& g) { return g.end - round_up(g.begin) >= bytes; });
  if (gap == gaps_.end()) {
    // Nothing fits: extend the last gap when it touches the end.
    const bool touches = !gaps_.empty() && gaps_.back().end == end_;
    extend(round_up(touches ? gaps_.back().begin : end_) + bytes);
    gap = std::prev(gaps_.end());
  }
  return cut(gap, round_up(gap->begin), bytes);
}

std::int64_t GapAllocator::take_high(std::int64_t bytes, std::int64_t alignment) {
  if (bytes == 0) return 0;
  const std::int64_t all = aligned(bytes);
  const auto offset_in = [&](const Gap& gap) { return (gap.end - all) & ~(alignment - 1); };
  const auto gap = std::find_if(gaps_.rbegin(), gaps_.rend(),
                                [&](const Gap& g) { return offset_in(g) >= g.begin; });
  if (gap == gaps_.rend()) return take(bytes, alignment);
  return cut(std::prev(gap.base()), offset_in(*gap), all);
}

void GapAllocator::extend(std::int64_t end) {
  if (end <= end_) return;
  if (gaps_.empty() || gaps_.back().end != end_) gaps_.push_back({end_, end_});
  end_ = gaps_.back().end = end;
}

std::int64_t GapAllocator::cut(std::vector<Gap>::iterator gap, std::int64_t offset,
                               std::int64_t bytes) {
  const Gap before{gap->begin, offset}, after{offset + bytes, gap->end};
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
