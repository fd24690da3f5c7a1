// Follows the ownership of bytes through the schedule: a write claims its extent, a read demands
// that the claim still stands. A claim may pass to another buffer only after every earlier use of
// the old one has certainly ended: by order on its resource, or by a chain of dependencies. Of a
// plan that carries, two runs one after the other: numbers of the second one's tasks come after
// those of the first.
#include "plan/check.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "core/error.h"
#include "plan/check_ring.h"

namespace outsize {
namespace {

constexpr std::int64_t kAlignment = 64;

// Per resource, the last task known to have ended before a given task starts.
using Clock = std::array<int, kResourceCount>;

class Checker {
 public:
  explicit Checker(const Plan& plan)
      : plan_(plan), count_(plan.tasks.size()), all_(plan.carries ? 2 * count_ : count_) {}

  void run() {
    check_extents();
    check_carrying();
    order_tasks();
    claim_persistent();
    for (size_t t = 0; t < all_; ++t) visit(static_cast<int>(t));
    check_nothing_is_lost();
  }

 private:
  // Of a buffer since it last claimed its bytes.
  struct Use {
    int last_write = -1;
    std::vector<int> readers;  // since the last write
    bool unread = false;       // written and not read since
  };
  // A piece of a tier and who holds it. What a buffer keeps when another one takes a part of its
  // bytes is no buffer's any more, but its uses must still have ended before the next one comes.
  struct Claim {
    std::int64_t end = 0;
    int buffer = -1;  // holder, or who was the last one
    bool standing = true;
    Use left = {};  // of bytes that nobody holds
  };

  const Task& task_at(size_t number) const { return plan_.tasks[number % count_]; }
  const Buffer& buffer(int id) const { return plan_.buffers[static_cast<size_t>(id)]; }

  void check_extents() const {
    for (const Buffer& b : plan_.buffers) {
      const std::int64_t room = tier_bytes(b.extent.tier);
      const std::int64_t alignment = b.moved ? kMovedAlignment : kAlignment;
      ensure(b.extent.offset >= 0 && b.extent.offset % alignment == 0 && b.extent.bytes >= 0 &&
                 b.extent.offset <= room - b.extent.bytes,
             "[plan check] buffer '{}' at {}+{} leaves its arena of {} bytes or is misaligned",
             b.name, b.extent.offset, b.extent.bytes, room);
      ensure(b.extent.tier == Tier::host || b.moved,
             "[plan check] buffer '{}' is on disk and not said to move", b.name);
    }
  }

  std::int64_t tier_bytes(Tier tier) const {
    switch (tier) {
      case Tier::scratch:
        return plan_.scratch_bytes;
      case Tier::store:
        return plan_.store_bytes;
      case Tier::log:
        return plan_.log_bytes;
      case Tier::host:
        break;
    }
    return plan_.arena_bytes;
  }

  // Kernels touch RAM alone; moves name exactly what the task says it reads and writes, and whole
  // pages of it, between RAM and a disk.
  void check_moves(int t, const Task& task) const {
    if (task.kind == TaskKind::publish || task.kind == TaskKind::seal ||
        task.kind == TaskKind::commit) {
      check_mark(t, task);
      return;
    }
    const bool moves = task.kind == TaskKind::read || task.kind == TaskKind::write;
    ensure(moves == (task.resource != Resource::cpu) && (moves || task.moves.empty()),
           "[plan check] task {} ({}) has the wrong resource", t, name_of(task.kind));
    if (!moves) {
      for (const auto* list : {&task.reads, &task.writes})
        for (int id : *list)
          ensure(known(id) && buffer(id).extent.tier == Tier::host,
                 "[plan check] task {} ({}) uses buffer {}, which is not in RAM", t,
                 name_of(task.kind), id);
      return;
    }
    std::set<int> from, to;
    std::set<Tier> tiers;
    for (const Move& move : task.moves) {
      ensure(known(move.from) && known(move.to), "[plan check] task {} moves an unknown buffer", t);
      check_move(t, task, move);
      tiers.insert(buffer(task.kind == TaskKind::read ? move.from : move.to).extent.tier);
      from.insert(move.from);
      to.insert(move.to);
    }
    ensure(from == std::set<int>(task.reads.begin(), task.reads.end()) &&
               to == std::set<int>(task.writes.begin(), task.writes.end()),
           "[plan check] task {} moves other buffers than it names", t);
    ensure(tiers.size() <= 1, "[plan check] task {} moves between RAM and two tiers", t);
  }

  // It must follow the writes it speaks of, on their resource.
  void check_mark(int t, const Task& task) const {
    const bool seals = task.kind == TaskKind::seal;
    ensure(task.resource == Resource::disk_write && task.moves.empty() &&
               (task.reads.empty() || seals),
           "[plan check] task {} ({}) does something else too", t, name_of(task.kind));
    for (int id : task.writes)
      ensure(known(id) && buffer(id).extent.tier == (seals ? Tier::log : Tier::store),
             "[plan check] task {} ({}) names a buffer that is elsewhere", t, name_of(task.kind));
  }

  void check_move(int t, const Task& task, const Move& move) const {
    const Buffer &from = buffer(move.from), &to = buffer(move.to);
    const bool reading = task.kind == TaskKind::read;
    ensure((reading ? to : from).extent.tier == Tier::host &&
               (reading ? from : to).extent.tier != Tier::host && from.moved && to.moved,
           "[plan check] task {} ({}) does not move between RAM and a disk", t, name_of(task.kind));
    const auto inside = [&](const Buffer& b, std::int64_t offset) {
      return offset >= 0 && offset % kMovedAlignment == 0 && move.bytes <= b.extent.bytes - offset;
    };
    ensure(move.bytes >= 0 && move.bytes % kMovedAlignment == 0 && inside(from, move.from_offset) &&
               inside(to, move.to_offset),
           "[plan check] task {} moves {} bytes that are not within '{}' and '{}'", t, move.bytes,
           from.name, to.name);
  }

  bool known(int id) const { return id >= 0 && id < static_cast<int>(plan_.buffers.size()); }

  // What the run before may still do is on disk_write, and committed before anything is written
  // that it would have to share a slot with.
  void check_carrying() const {
    bool committed = false;
    for (size_t t = 0; t < count_; ++t) {
      const Task& task = plan_.tasks[t];
      const int earlier = task.after_previous;
      ensure(earlier < 0 ||
                 (plan_.carries && static_cast<size_t>(earlier) < count_ &&
                  plan_.tasks[static_cast<size_t>(earlier)].resource == Resource::disk_write),
             "[plan check] task {} waits for task {} of the run before, which nothing carries", t,
             earlier);
      if (!plan_.carries || task.resource != Resource::disk_write) continue;
      ensure(committed == (task.kind != TaskKind::commit),
             "[plan check] task {} ({}): of a plan that carries, one commit comes first", t,
             name_of(task.kind));
      committed = true;
    }
  }

  // Tasks are listed in an order that respects dependencies; that itself excludes cycles.
  void order_tasks() {
    Clock last;
    last.fill(-1);
    Clock rested = last;  // when the run began
    for (size_t t = 0; t < all_; ++t) {
      const Task& task = task_at(t);
      const auto lane = static_cast<size_t>(task.resource);
      if (t == count_) {
        rested = last;
        rested[static_cast<size_t>(Resource::disk_write)] = -1;
      }
      Clock clock;
      clock.fill(-1);
      auto learn = [&](int earlier) {
        const auto& known = before_[static_cast<size_t>(earlier)];
        for (size_t r = 0; r < clock.size(); ++r) clock[r] = std::max(clock[r], known[r]);
        const auto earlier_lane =
            static_cast<size_t>(task_at(static_cast<size_t>(earlier)).resource);
        clock[earlier_lane] = std::max(clock[earlier_lane], earlier);
      };
      if (last[lane] >= 0) learn(last[lane]);
      for (const int ended : rested)
        if (ended >= 0) learn(ended);
      const int first = static_cast<int>(t - t % count_);
      if (first > 0 && task.after_previous >= 0) learn(task.after_previous);
      for (int earlier : task.after) {
        ensure(earlier >= 0 && first + earlier < static_cast<int>(t),
               "[plan check] task {} waits for task {}, which does not come before it", t % count_,
               earlier);
        learn(first + earlier);
      }
      before_.push_back(clock);
      last[lane] = static_cast<int>(t);
    }
  }

  bool ends_before(int earlier, int later) const {
    const auto lane = static_cast<size_t>(task_at(static_cast<size_t>(earlier)).resource);
    return earlier <= before_[static_cast<size_t>(later)][lane];
  }

  void claim_persistent() {
    uses_.resize(plan_.buffers.size());
    for (size_t i = 0; i < plan_.buffers.size(); ++i)
      if (plan_.buffers[i].persistent) claim(static_cast<int>(i), -1);
  }

  void visit(int t) {
    const Task& task = task_at(static_cast<size_t>(t));
    check_moves(t, task);
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
    const auto& claims = claims_[static_cast<size_t>(extent.tier)];
    const auto at = claims.find(extent.offset);
    return at != claims.end() && at->second.standing && at->second.buffer == id &&
           at->second.end == extent.offset + extent.bytes;
  }

  // Gives the extent to `id` from task t on (-1: before the first), taking it from whoever held it.
  void claim(int id, int t) {
    const Extent& extent = buffer(id).extent;
    if (extent.bytes == 0) return;
    const std::int64_t begin = extent.offset, end = begin + extent.bytes;
    auto& claims = claims_[static_cast<size_t>(extent.tier)];
    auto at = claims.upper_bound(begin);
    if (at != claims.begin() && std::prev(at)->second.end > begin) --at;
    while (at != claims.end() && at->first < end) {
      const std::int64_t old_begin = at->first;
      const Claim old = give_up(at->second, id, t);
      at = claims.erase(at);
      if (old_begin < begin) claims[old_begin] = {begin, old.buffer, false, old.left};
      if (old.end > end) at = claims.insert({end, {old.end, old.buffer, false, old.left}}).first;
    }
    claims[begin] = {end, id, true, {}};
  }

  // What the claim leaves behind where `id` does not take all of its bytes.
  Claim give_up(const Claim& claim, int id, int t) {
    const int old = claim.buffer;
    Use& use = uses_[static_cast<size_t>(old)];
    check_ended(claim.standing ? use : claim.left, old, t, /*updates=*/false);
    if (!claim.standing) return claim;
    ensure(!buffer(old).persistent, "[plan check] '{}' overlaps persistent '{}'", buffer(id).name,
           buffer(old).name);
    ensure(!use.unread || buffer(old).kind == BufferKind::workspace,
           "[plan check] '{}' is written and overwritten by '{}' without being read",
           buffer(old).name, buffer(id).name);
    return {claim.end, old, false, std::exchange(use, {})};
  }

  void check_nothing_is_lost() const {
    for (size_t i = 0; i < plan_.buffers.size(); ++i) {
      const Buffer& b = plan_.buffers[i];
      ensure(!uses_[i].unread || b.persistent || b.kind == BufferKind::workspace,
             "[plan check] '{}' is written and never read", b.name);
    }
  }

  const Plan& plan_;
  const size_t count_, all_;  // tasks of the plan, and of the runs that are followed
  std::vector<Clock> before_;
  std::array<std::map<std::int64_t, Claim>, kTierCount> claims_;  // by first byte; disjoint
  std::vector<Use> uses_;
};

}  // namespace

void check_plan(const Plan& plan) {
  Checker(plan).run();
  check_ring(plan);
}

}  // namespace outsize
