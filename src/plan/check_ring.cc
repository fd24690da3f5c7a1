#include "plan/check_ring.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "core/error.h"

namespace outsize {
namespace {

// What was written of something, in bytes from its beginning.
class Coverage {
 public:
  // False when some of it was written already.
  bool add(std::int64_t begin, std::int64_t bytes) {
    const auto after = ranges_.lower_bound(begin);
    if (after != ranges_.end() && after->first < begin + bytes) return false;
    if (after != ranges_.begin() && std::prev(after)->second > begin) return false;
    ranges_[begin] = begin + bytes;
    bytes_ += bytes;
    return true;
  }
  std::int64_t bytes() const { return bytes_; }
  void clear() { *this = {}; }

 private:
  std::map<std::int64_t, std::int64_t> ranges_;  // begin -> end
  std::int64_t bytes_ = 0;
};

class RingChecker {
 public:
  explicit RingChecker(const Plan& plan) : plan_(plan) {
    bool seals = false, commits = false;
    for (const Task& task : plan.tasks) {
      seals = seals || task.kind == TaskKind::seal;
      commits = commits || task.kind == TaskKind::commit;
    }
    // A plan begins with a step whose updates wait where it commits one, or has nothing else.
    sealed_ = !seals || commits;
    from_the_first_ = seals || commits;
    for (const auto& items : plan.store)
      for (const StoreItem& item : items) {
        group_of_[item.offset] = item.group;
        group_bytes_[item.group] += item.bytes;
      }
    for (size_t p = 0; p < plan.log.size(); ++p) parameter_of_[plan.log[p].offset] = p;
    restart();
  }

  void run() {
    for (size_t t = 0; t < plan_.tasks.size(); ++t) visit(static_cast<int>(t));
    ensure(log_.bytes() == 0, "[plan check] the step ends with a log that nothing seals");
    ensure(!begun_ || next_ == group_bytes_.end(),
           "[plan check] the step ends after some groups of the store, and not all, were updated");
  }

 private:
  const Buffer& buffer(int id) const { return plan_.buffers[static_cast<size_t>(id)]; }

  void restart() {
    next_ = group_bytes_.begin();
    begun_ = false;
    written_.clear();
  }

  void visit(int t) {
    const Task& task = plan_.tasks[static_cast<size_t>(t)];
    switch (task.kind) {
      case TaskKind::read:
        for (const Move& move : task.moves)
          ensure(buffer(move.from).extent.tier != Tier::log || sealed_,
                 "[plan check] task {} reads '{}' from the log before it is sealed", t,
                 buffer(move.from).name);
        break;
      case TaskKind::write:
        for (const Move& move : task.moves) {
          if (buffer(move.to).extent.tier == Tier::log) log(t, move);
          if (buffer(move.to).extent.tier == Tier::store) update(t, move);
        }
        break;
      case TaskKind::seal:
        seal(t, task);
        break;
      case TaskKind::publish:
        publish(t, task.group);
        break;
      case TaskKind::commit:
        ensure(sealed_ && next_ == group_bytes_.end(),
               "[plan check] task {} commits a step before all its groups are published", t);
        sealed_ = false;
        restart();
        break;
      default:
        for (int id : task.writes)
          ensure(logged_.count(id) == 0,
                 "[plan check] task {} ({}) changes '{}' after it went to the log", t,
                 name_of(task.kind), buffer(id).name);
    }
  }

  // The bytes of a gradient go to its own place in the log.
  void log(int t, const Move& move) {
    ensure(!sealed_, "[plan check] task {} writes to a log that is sealed", t);
    const std::int64_t at = buffer(move.to).extent.offset + move.to_offset;
    auto item = parameter_of_.upper_bound(at);
    ensure(item != parameter_of_.begin(), "[plan check] task {}: nobody's log at {}", t, at);
    --item;
    ensure(move.from == plan_.gradients[item->second] && move.from_offset == at - item->first &&
               move.from_offset + move.bytes <= plan_.log[item->second].bytes,
           "[plan check] task {} writes '{}' to the log where another gradient belongs", t,
           buffer(move.from).name);
    ensure(log_.add(at, move.bytes), "[plan check] task {} writes to the log twice", t);
    logged_.insert(move.from);
  }

  void seal(int t, const Task& task) {
    ensure(!sealed_, "[plan check] task {} seals a log that is sealed", t);
    ensure(log_.bytes() == plan_.log_bytes,
           "[plan check] task {} seals a log that lacks gradients; got {} bytes; expected {}", t,
           log_.bytes(), plan_.log_bytes);
    ensure(std::count(task.reads.begin(), task.reads.end(), plan_.gradient_norm) == 1,
           "[plan check] task {} seals the log without the gradient norm", t);
    std::int64_t named = 0;
    for (int id : std::set<int>(task.writes.begin(), task.writes.end()))
      if (buffer(id).extent.tier == Tier::log) named += buffer(id).extent.bytes;
    ensure(named == plan_.log_bytes, "[plan check] task {} does not name all of the log", t);
    sealed_ = true;
    log_.clear();
    logged_.clear();
  }

  void update(int t, const Move& move) {
    ensure(sealed_, "[plan check] task {} writes '{}' before the log is sealed", t,
           buffer(move.to).name);
    const std::int64_t at = buffer(move.to).extent.offset + move.to_offset;
    auto item = group_of_.upper_bound(at);
    ensure(item != group_of_.begin(), "[plan check] task {}: nobody's state at {}", t, at);
    const int group = (--item)->second;
    if (!begun_ && !from_the_first_) next_ = group_bytes_.find(group);
    begun_ = true;
    ensure(next_ != group_bytes_.end() && next_->first == group,
           "[plan check] task {} writes '{}' out of the order of groups", t, buffer(move.to).name);
    ensure(written_.add(at, move.bytes), "[plan check] task {} writes '{}' twice", t,
           buffer(move.to).name);
  }

  void publish(int t, int group) {
    ensure(sealed_ && next_ != group_bytes_.end() && next_->first == group,
           "[plan check] task {} publishes group {} out of order", t, group);
    ensure(written_.bytes() == next_->second,
           "[plan check] task {} publishes group {} before all of it is written; got {} bytes; "
           "expected {}",
           t, group, written_.bytes(), next_->second);
    ++next_;
    written_.clear();
  }

  const Plan& plan_;
  std::map<std::int64_t, int> group_of_;         // of an item of the store, by its offset
  std::map<int, std::int64_t> group_bytes_;      // per group, in order
  std::map<std::int64_t, size_t> parameter_of_;  // of an item of the log, by its offset
  bool sealed_ = false;
  bool from_the_first_ = false;                 // updates begin with the first group
  Coverage log_, written_;                      // written_: of the group that is next
  std::set<int> logged_;                        // gradients in a log that is not sealed yet
  std::map<int, std::int64_t>::iterator next_;  // group to be updated next
  bool begun_ = false;                          // some group of the step was written to
};

}  // namespace

void check_ring(const Plan& plan) {
  if (plan.log_bytes > 0) {
    ensure(!plan.carries, "[plan check] a step with a log cannot carry writes into the next one");
    RingChecker(plan).run();
    return;
  }
  for (size_t t = 0; t < plan.tasks.size(); ++t)
    ensure(plan.tasks[t].kind != TaskKind::seal &&
               (plan.tasks[t].kind != TaskKind::commit || plan.carries),
           "[plan check] task {} ({}) needs a store with a log", t, name_of(plan.tasks[t].kind));
}

}  // namespace outsize
