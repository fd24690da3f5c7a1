#include "plan/depend.h"

#include <algorithm>
#include <map>

namespace outsize {
namespace {

// The latest task of each resource; order on a resource makes the earlier ones superfluous.
class Latest {
 public:
  Latest() { tasks_.fill(-1); }
  void add(Resource resource, int task) {
    int& at = tasks_[static_cast<size_t>(resource)];
    at = std::max(at, task);
  }
  void add(const Latest& other) {
    for (size_t r = 0; r < tasks_.size(); ++r) tasks_[r] = std::max(tasks_[r], other.tasks_[r]);
  }
  void list_others(Resource own, Task& task) const {
    for (size_t r = 0; r < tasks_.size(); ++r)
      if (r != static_cast<size_t>(own) && tasks_[r] >= 0) task.after.push_back(tasks_[r]);
  }
  int of(Resource resource) const { return tasks_[static_cast<size_t>(resource)]; }

 private:
  PerResource<int> tasks_;
};

class Dependencies {
 public:
  explicit Dependencies(Plan& plan)
      : plan_(plan), writers_(plan.buffers.size()), users_(writers_) {}

  void run() {
    const int count = static_cast<int>(plan_.tasks.size());
    for (int t = 0; t < count; ++t) {
      Task& task = plan_.tasks[static_cast<size_t>(t)];
      visit(task, t).list_others(task.resource, task);
    }
    if (!plan_.carries) return;
    // The next run: all else has ended by then, and the tasks of one resource are in order.
    for (int t = 0; t < count; ++t) {
      Task& task = plan_.tasks[static_cast<size_t>(t)];
      const int writing = visit(task, count + t).of(Resource::disk_write);
      if (task.resource != Resource::disk_write && writing < count) task.after_previous = writing;
    }
  }

 private:
  // What it must wait for; its number, which rises, is what later ones then do.
  Latest visit(const Task& task, int number) {
    Latest latest;
    for (int id : task.reads) latest.add(writers_[static_cast<size_t>(id)]);
    for (int id : task.writes) latest.add(displaced_by(id));
    for (int id : task.reads) users_[static_cast<size_t>(id)].add(task.resource, number);
    for (int id : task.writes) {
      users_[static_cast<size_t>(id)].add(task.resource, number);
      writers_[static_cast<size_t>(id)] = {};
      writers_[static_cast<size_t>(id)].add(task.resource, number);
    }
    return latest;
  }

  // Bytes with one history: a buffer's own, or what is left of one that lost the rest.
  struct Segment {
    std::int64_t end = 0;
    int buffer = -1;  // -1: nobody's any more
    Latest users;     // of nobody's bytes
  };

  const Latest& users_of(const Segment& segment) const {
    return segment.buffer < 0 ? segment.users : users_[static_cast<size_t>(segment.buffer)];
  }

  // Everything that used the bytes of `id` so far, whoever they belonged to; they are its own now.
  Latest displaced_by(int id) {
    const Buffer& buffer = plan_.buffers[static_cast<size_t>(id)];
    const Extent& extent = buffer.extent;
    Latest latest = users_[static_cast<size_t>(id)];
    if (buffer.persistent || extent.bytes == 0) return latest;  // its bytes are nobody else's
    auto& segments = segments_[static_cast<size_t>(extent.tier)];
    const std::int64_t begin = extent.offset, end = begin + extent.bytes;
    auto at = segments.upper_bound(begin);
    if (at != segments.begin() && std::prev(at)->second.end > begin) --at;
    while (at != segments.end() && at->first < end) {
      const std::int64_t old_begin = at->first;
      const Segment old = at->second;
      if (old.buffer == id) return latest;  // it never lost them
      latest.add(users_of(old));
      at = segments.erase(at);
      if (old_begin < begin) segments[old_begin] = {begin, -1, users_of(old)};
      if (old.end > end) at = segments.insert({end, {old.end, -1, users_of(old)}}).first;
    }
    segments[begin] = {end, id, {}};
    return latest;
  }

  Plan& plan_;
  std::vector<Latest> writers_, users_;                               // per buffer
  std::array<std::map<std::int64_t, Segment>, kTierCount> segments_;  // by first byte; disjoint
};

}  // namespace

void add_dependencies(Plan& plan) {
  Dependencies(plan).run();
}

}  // namespace outsize
