#include "plan/place.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <span>

#include "core/gap_allocator.h"

namespace outsize {
namespace {

bool has_its_place(const Buffer& buffer) {
  return buffer.extent.tier == Tier::store || buffer.extent.tier == Tier::log;
}

class KindCounter {
 public:
  explicit KindCounter(std::vector<std::int64_t>& peak) : peak_(peak), now_(peak.size(), 0) {
    std::fill(peak.begin(), peak.end(), 0);
  }
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

// Buffers by a task of theirs; those of one task in their own order.
class ByTask {
 public:
  // `tasks`: per buffer; -1: none.
  ByTask(const std::vector<int>& tasks, size_t task_count) : begin_(task_count + 1, 0) {
    for (const int task : tasks)
      if (task >= 0) ++begin_[static_cast<size_t>(task) + 1];
    std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
    buffers_.resize(begin_.back());
    std::vector<size_t> next = begin_;
    for (size_t b = 0; b < tasks.size(); ++b)
      if (tasks[b] >= 0) buffers_[next[static_cast<size_t>(tasks[b])]++] = static_cast<int>(b);
  }
  std::span<const int> operator[](size_t task) const {
    return {buffers_.data() + begin_[task], begin_[task + 1] - begin_[task]};
  }

 private:
  std::vector<size_t> begin_;  // of each task's, in buffers_
  std::vector<int> buffers_;
};

class Placer {
 public:
  Placer(Plan& plan, const std::vector<int>& hold) : plan_(plan) {
    for (Buffer& buffer : plan.buffers)
      if (buffer.moved && !has_its_place(buffer))
        buffer.extent.bytes = whole_pages(buffer.extent.bytes);
    find_lifetimes(hold);
  }

  void run() {
    place_all(false);
    if (!plan_.carries) return;
    const std::int64_t bytes = plan_.arena_bytes;
    place_all(true);
    if (plan_.arena_bytes > bytes) place_all(false);
  }

 private:
  // `carrying`: what is held until the end at the top of an arena of the size that plan_ says.
  void place_all(bool carrying) {
    arenas_ = {};
    counter_.emplace(plan_.peak_bytes_by_kind);
    if (carrying) arenas_[static_cast<size_t>(Tier::host)].extend(plan_.arena_bytes);
    for (int group = 0; group < 3; ++group)
      for (Buffer& buffer : plan_.buffers)
        if (buffer.persistent && group_of(buffer.kind) == group) take(buffer);
    const ByTask starts(first_, plan_.tasks.size()), ends(last_, plan_.tasks.size());
    const int end = static_cast<int>(plan_.tasks.size()) - 1;
    for (size_t t = 0; t < plan_.tasks.size(); ++t) {
      for (int id : starts[t])
        take(plan_.buffers[static_cast<size_t>(id)],
             carrying && last_[static_cast<size_t>(id)] == end);
      for (int id : ends[t]) give(plan_.buffers[static_cast<size_t>(id)]);
    }
    plan_.arena_bytes = arenas_[static_cast<size_t>(Tier::host)].end();
    plan_.scratch_bytes = arenas_[static_cast<size_t>(Tier::scratch)].end();
  }

  void find_lifetimes(const std::vector<int>& hold) {
    first_.assign(plan_.buffers.size(), kNever);
    last_ = first_;
    for (size_t t = 0; t < plan_.tasks.size(); ++t)
      for (const auto* list : {&plan_.tasks[t].reads, &plan_.tasks[t].writes})
        for (int id : *list) {
          auto& begin = first_[static_cast<size_t>(id)];
          if (begin == kNever) begin = static_cast<int>(t);
          last_[static_cast<size_t>(id)] = static_cast<int>(t);
        }
    for (size_t b = 0; b < plan_.buffers.size(); ++b)
      if (plan_.buffers[b].persistent)
        first_[b] = last_[b] = kNever;
      else if (first_[b] != kNever && !hold.empty())
        last_[b] = std::max(last_[b], hold[b]);
  }

  void take(Buffer& buffer, bool high = false) {
    Extent& extent = buffer.extent;
    if (has_its_place(buffer)) return;
    GapAllocator& arena = arenas_[static_cast<size_t>(extent.tier)];
    const std::int64_t alignment = buffer.moved ? kMovedAlignment : GapAllocator::kAlignment;
    extent.offset = high && extent.tier == Tier::host ? arena.take_high(extent.bytes, alignment)
                                                      : arena.take(extent.bytes, alignment);
    if (extent.tier == Tier::host) counter_->add(buffer, 1);
  }

  void give(const Buffer& buffer) {
    const Extent& extent = buffer.extent;
    if (has_its_place(buffer)) return;
    arenas_[static_cast<size_t>(extent.tier)].give(extent.offset, extent.bytes);
    if (extent.tier == Tier::host) counter_->add(buffer, -1);
  }

  Plan& plan_;
  std::optional<KindCounter> counter_;
  std::array<GapAllocator, kTierCount> arenas_;
  static constexpr int kNever = -1;
  std::vector<int> first_, last_;  // per buffer: tasks that use it; kNever where it always lives
};

}  // namespace

void place_buffers(Plan& plan, const std::vector<int>& hold) {
  Placer(plan, hold).run();
}

}  // namespace outsize
