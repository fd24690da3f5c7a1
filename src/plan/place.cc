#include "plan/place.h"

#include <algorithm>

#include "core/gap_allocator.h"

namespace outsize {
namespace {

bool has_its_place(const Buffer& buffer) {
  return buffer.extent.tier == Tier::store || buffer.extent.tier == Tier::log;
}

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

class Placer {
 public:
  Placer(Plan& plan, const std::vector<int>& hold)
      : plan_(plan), counter_(plan.peak_bytes_by_kind) {
    for (Buffer& buffer : plan.buffers)
      if (buffer.moved && !has_its_place(buffer))
        buffer.extent.bytes = whole_pages(buffer.extent.bytes);
    find_lifetimes(hold);
  }

  void run() {
    for (int group = 0; group < 3; ++group)
      for (Buffer& buffer : plan_.buffers)
        if (buffer.persistent && group_of(buffer.kind) == group) take(buffer);
    for (size_t t = 0; t < plan_.tasks.size(); ++t) {
      for (int id : starts_[t]) take(plan_.buffers[static_cast<size_t>(id)]);
      for (int id : ends_[t]) give(plan_.buffers[static_cast<size_t>(id)]);
    }
    plan_.arena_bytes = arenas_[static_cast<size_t>(Tier::host)].end();
    plan_.scratch_bytes = arenas_[static_cast<size_t>(Tier::scratch)].end();
  }

 private:
  void find_lifetimes(const std::vector<int>& hold) {
    constexpr int kNever = -1;
    std::vector<int> first(plan_.buffers.size(), kNever), last = first;
    for (size_t t = 0; t < plan_.tasks.size(); ++t)
      for (const auto* list : {&plan_.tasks[t].reads, &plan_.tasks[t].writes})
        for (int id : *list) {
          auto& begin = first[static_cast<size_t>(id)];
          if (begin == kNever) begin = static_cast<int>(t);
          last[static_cast<size_t>(id)] = static_cast<int>(t);
        }
    starts_.resize(plan_.tasks.size());
    ends_.resize(plan_.tasks.size());
    for (size_t i = 0; i < plan_.buffers.size(); ++i) {
      if (plan_.buffers[i].persistent || first[i] == kNever) continue;
      const int end = hold.empty() ? last[i] : std::max(last[i], hold[i]);
      starts_[static_cast<size_t>(first[i])].push_back(static_cast<int>(i));
      ends_[static_cast<size_t>(end)].push_back(static_cast<int>(i));
    }
  }

  void take(Buffer& buffer) {
    Extent& extent = buffer.extent;
    if (has_its_place(buffer)) return;
    extent.offset = arenas_[static_cast<size_t>(extent.tier)].take(
        extent.bytes, buffer.moved ? kMovedAlignment : GapAllocator::kAlignment);
    if (extent.tier == Tier::host) counter_.add(buffer, 1);
  }

  void give(const Buffer& buffer) {
    const Extent& extent = buffer.extent;
    if (has_its_place(buffer)) return;
    arenas_[static_cast<size_t>(extent.tier)].give(extent.offset, extent.bytes);
    if (extent.tier == Tier::host) counter_.add(buffer, -1);
  }

  Plan& plan_;
  KindCounter counter_;
  std::array<GapAllocator, kTierCount> arenas_;
  std::vector<std::vector<int>> starts_, ends_;  // per task: buffers
};

}  // namespace

void place_buffers(Plan& plan, const std::vector<int>& hold) {
  Placer(plan, hold).run();
}

}  // namespace outsize
