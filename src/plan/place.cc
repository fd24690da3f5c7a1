#include "plan/place.h"

#include <algorithm>

#include "core/gap_allocator.h"

namespace outsize {
namespace {

class KindCounter {
 public:
  explicit KindCounter(std::vector<std::int64_t>& peak) : peak_(peak), now_(peak.size(), 0) {}
  void add(const Buffer& buffer, int sign) {
    const auto kind = static_cast<size_t>(buffer.kind);
    now_[kind] += sign * GapAllocator::aligned(buffer.extent.bytes);
    peak_[kind] = std::max(peak_[kind], now_[kind]);
  }

 private:
  std::vector<std::int64_t>& peak_;
  std::vector<std::int64_t> now_;
};

// Weights and optimizer state lie first, then caches: plans of programs that share them then agree
// on their places, whatever else differs.
int group_of(BufferKind kind) {
  if (kind == BufferKind::weights || kind == BufferKind::optimizer) return 0;
  return kind == BufferKind::state ? 1 : 2;
}

}  // namespace

void place_buffers(Plan& plan) {
  constexpr int kNever = -1;
  std::vector<int> first(plan.buffers.size(), kNever), last(plan.buffers.size(), kNever);
  for (size_t t = 0; t < plan.tasks.size(); ++t)
    for (const auto* list : {&plan.tasks[t].reads, &plan.tasks[t].writes})
      for (int id : *list) {
        auto& begin = first[static_cast<size_t>(id)];
        if (begin == kNever) begin = static_cast<int>(t);
        last[static_cast<size_t>(id)] = static_cast<int>(t);
      }
  std::vector<std::vector<int>> starts(plan.tasks.size()), ends(plan.tasks.size());
  GapAllocator arena;
  KindCounter counter(plan.peak_bytes_by_kind);
  for (int group = 0; group < 3; ++group)
    for (Buffer& buffer : plan.buffers) {
      if (!buffer.persistent || group_of(buffer.kind) != group) continue;
      buffer.extent.offset = arena.take(buffer.extent.bytes);
      counter.add(buffer, 1);
    }
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    if (plan.buffers[i].persistent || first[i] == kNever) continue;
    starts[static_cast<size_t>(first[i])].push_back(static_cast<int>(i));
    ends[static_cast<size_t>(last[i])].push_back(static_cast<int>(i));
  }
  for (size_t t = 0; t < plan.tasks.size(); ++t) {
    for (int id : starts[t]) {
      Buffer& buffer = plan.buffers[static_cast<size_t>(id)];
      buffer.extent.offset = arena.take(buffer.extent.bytes);
      counter.add(buffer, 1);
    }
    for (int id : ends[t]) {
      const Buffer& buffer = plan.buffers[static_cast<size_t>(id)];
      arena.give(buffer.extent.offset, buffer.extent.bytes);
      counter.add(buffer, -1);
    }
  }
  plan.arena_bytes = arena.end();
}

}  // namespace outsize
