// Follows the ownership of bytes through the schedule: a write claims its extent, a read demands
// that the claim still stands. A claim may pass to another buffer only after every earlier use of
// the old one has certainly ended: by order on its resource, or by a chain of dependencies.
#include "plan/check.h"

#include <algorithm>
#include <array>
#include <map>

#include "core/error.h"

namespace outsize {
namespace {

constexpr std::int64_t kAlignment = 64;

// Per resource, the last task known to have ended before a given task starts.
using Clock = std::array<int, kResourceCount>;

class Checker {
 public:
  explicit Checker(const Plan& plan) : plan_(plan) {}

  void run() {
    check_extents();
    order_tasks();
    claim_persistent();
    for (size_t t = 0; t < plan_.tasks.size(); ++t) visit(static_cast<int>(t));
    check_nothing_is_lost();
  }

 private:
  struct Claim {
    std::int64_t end;
    int buffer;
  };
  // Of a buffer since it last claimed its bytes.
  struct Use {
    int last_write = -1;
    std::vector<int> readers;  // since the last write
    bool unread = false;       // written and not read since
  };

  const Buffer& buffer(int id) const { return plan_.buffers[static_cast<size_t>(id)]; }

  void check_extents() const {
    for (const Buffer& b : plan_.buffers) {
      ensure(b.extent.offset >= 0 && b.extent.offset % kAlignment == 0 && b.extent.bytes >= 0 &&
                 b.extent.offset <= plan_.arena_bytes - b.extent.bytes,
             "[plan check] buffer '{}' at {}+{} leaves the arena of {} bytes or is misaligned",
             b.name, b.extent.offset, b.extent.bytes, plan_.arena_bytes);
    }
  }

  // Tasks are listed in an order that respects dependencies; that itself excludes cycles.
  void order_tasks() {
    Clock last;
    last.fill(-1);
    for (size_t t = 0; t < plan_.tasks.size(); ++t) {
      const Task& task = plan_.tasks[t];
      const auto lane = static_cast<size_t>(task.resource);
      Clock clock;
      clock.fill(-1);
      auto learn = [&](int earlier) {
        const auto& known = before_[static_cast<size_t>(earlier)];
        for (size_t r = 0; r < clock.size(); ++r) clock[r] = std::max(clock[r], known[r]);
        const auto earlier_lane =
            static_cast<size_t>(plan_.tasks[static_cast<size_t>(earlier)].resource);
        clock[earlier_lane] = std::max(clock[earlier_lane], earlier);
      };
      if (last[lane] >= 0) learn(last[lane]);
      for (int earlier : task.after) {
        ensure(earlier >= 0 && earlier < static_cast<int>(t),
               "[plan check] task {} waits for task {}, which does not come before it", t, earlier);
        learn(earlier);
      }
      before_.push_back(clock);
      last[lane] = static_cast<int>(t);
    }
  }

  bool ends_before(int earlier, int later) const {
    const auto lane = static_cast<size_t>(plan_.tasks[static_cast<size_t>(earlier)].resource);
    return earlier <= before_[static_cast<size_t>(later)][lane];
  }

  void claim_persistent() {
    uses_.resize(plan_.buffers.size());
    for (size_t i = 0; i < plan_.buffers.size(); ++i)
      if (plan_.buffers[i].persistent) claim(static_cast<int>(i), -1);
  }

  void visit(int t) {
    const Task& task = plan_.tasks[static_cast<size_t>(t)];
    for (int id : task.reads) {
      ensure(id >= 0 && id < static_cast<int>(plan_.buffers.size()),
             "[plan check] task {}: no buffer {}", t, id);
      ensure(owns(id),
             "[plan check] task {} ({}) reads '{}', whose bytes were never written or now "
             "belong to another buffer",
             t, name_of(task.kind), buffer(id).name);
      Use& use = uses_[static_cast<size_t>(id)];
      ensure(use.last_write < 0 || ends_before(use.last_write, t),
             "[plan check] task {} reads '{}' before task {} is certain to have written it", t,
             buffer(id).name, use.last_write);
      use.unread = false;
      use.readers.push_back(t);
    }
    for (int id : task.writes) {
      if (!owns(id)) claim(id, t);
      Use& use = uses_[static_cast<size_t>(id)];
      check_ended(use, id, t, /*updates=*/true);
      use = {t, {}, true};
    }
  }

  // Every earlier use of `id` has certainly ended when task t starts. A task that updates a buffer
  // may read it too; one that takes its bytes over for another buffer may not.
  void check_ended(const Use& use, int id, int t, bool updates) const {
    ensure(use.last_write < 0 || ends_before(use.last_write, t),
           "[plan check] task {} writes over '{}' while task {} may still write it", t,
           buffer(id).name, use.last_write);
    for (int reader : use.readers)
      ensure((updates && reader == t) || ends_before(reader, t),
             "[plan check] task {} writes over '{}' while task {} may still read it", t,
             buffer(id).name, reader);
  }

  bool owns(int id) const {
    const Extent& extent = buffer(id).extent;
    if (extent.bytes == 0) return true;
    const auto at = claims_.find(extent.offset);
    return at != claims_.end() && at->second.buffer == id &&
           at->second.end == extent.offset + extent.bytes;
  }

  // Gives the extent to `id` from task t on (-1: before the first), taking it from whoever held it.
  void claim(int id, int t) {
    const Extent& extent = buffer(id).extent;
    if (extent.bytes == 0) return;
    const std::int64_t begin = extent.offset, end = begin + extent.bytes;
    auto at = claims_.upper_bound(begin);
    if (at != claims_.begin() && std::prev(at)->second.end > begin) --at;
    while (at != claims_.end() && at->first < end) {
      const int old = at->second.buffer;
      ensure(!buffer(old).persistent, "[plan check] '{}' overlaps persistent '{}'", buffer(id).name,
             buffer(old).name);
      check_ended(uses_[static_cast<size_t>(old)], old, t, /*updates=*/false);
      ensure(!uses_[static_cast<size_t>(old)].unread || buffer(old).kind == BufferKind::workspace,
             "[plan check] '{}' is written and overwritten by '{}' without being read",
             buffer(old).name, buffer(id).name);
      uses_[static_cast<size_t>(old)] = {};
      at = claims_.erase(at);
    }
    claims_[begin] = {end, id};
  }

  void check_nothing_is_lost() const {
    for (size_t i = 0; i < plan_.buffers.size(); ++i) {
      const Buffer& b = plan_.buffers[i];
      ensure(!uses_[i].unread || b.persistent || b.kind == BufferKind::workspace,
             "[plan check] '{}' is written and never read", b.name);
    }
  }

  const Plan& plan_;
  std::vector<Clock> before_;
  std::map<std::int64_t, Claim> claims_;  // by first byte; disjoint
  std::vector<Use> uses_;
};

}  // namespace

void check_plan(const Plan& plan) {
  Checker(plan).run();
}

}  // namespace outsize
