#include "plan/symbolic_run.h"

#include <algorithm>
#include <map>
#include <set>

namespace outsize::testing_plan {
namespace {

constexpr std::int64_t kCell = 64;

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash ^= value + 0x9e3779b97f4a7c15 + (hash << 6) + (hash >> 2);
  hash *= 0xbf58476d1ce4e5b9;
  return hash ^ (hash >> 29);
}

class Memory {
 public:
  explicit Memory(const Plan& plan)
      : plan_(plan), cells_(static_cast<size_t>(plan.arena_bytes / kCell + 1), 0) {}

  std::uint64_t read(int id, std::uint64_t hash) const {
    const auto [first, end] = range(id);
    for (size_t cell = first; cell < end; ++cell) hash = mix(hash, cells_[cell]);
    return hash;
  }
  void write(int id, std::uint64_t value) {
    const auto [first, end] = range(id);
    for (size_t cell = first; cell < end; ++cell)
      cells_[cell] = mix(mix(value, static_cast<std::uint64_t>(id)), cell - first);
  }

 private:
  std::pair<size_t, size_t> range(int id) const {
    const Extent& extent = plan_.buffers[static_cast<size_t>(id)].extent;
    const std::int64_t first = extent.offset / kCell;
    return {static_cast<size_t>(first),
            static_cast<size_t>(first + (extent.bytes + kCell - 1) / kCell)};
  }

  const Plan& plan_;
  std::vector<std::uint64_t> cells_;
};

bool inside_arena(const Plan& plan) {
  return std::all_of(plan.buffers.begin(), plan.buffers.end(), [&](const Buffer& b) {
    return b.extent.offset >= 0 && b.extent.offset % kCell == 0 && b.extent.bytes >= 0 &&
           b.extent.offset + b.extent.bytes <= plan.arena_bytes;
  });
}

// A task reads and writes in any order while it runs, so its buffers must not share bytes.
bool tasks_are_clean(const Plan& plan) {
  for (const Task& task : plan.tasks) {
    std::set<int> ids(task.reads.begin(), task.reads.end());
    ids.insert(task.writes.begin(), task.writes.end());
    std::map<std::int64_t, std::int64_t> extents;  // offset -> end
    for (int id : ids) {
      const Extent& e = plan.buffers[static_cast<size_t>(id)].extent;
      if (e.bytes > 0 && !extents.insert({e.offset, e.offset + e.bytes}).second) return false;
    }
    std::int64_t last_end = 0;
    for (const auto& [offset, end] : extents) {
      if (offset < last_end) return false;
      last_end = end;
    }
  }
  return true;
}

}  // namespace

Outcome run_symbolically(const Plan& plan) {
  Outcome outcome;
  outcome.sound = inside_arena(plan) && tasks_are_clean(plan);
  if (!outcome.sound) return outcome;
  Memory memory(plan);
  for (size_t i = 0; i < plan.buffers.size(); ++i)
    if (plan.buffers[i].persistent) memory.write(static_cast<int>(i), 1);
  for (size_t t = 0; t < plan.tasks.size(); ++t) {
    const Task& task = plan.tasks[t];
    std::uint64_t hash = 2;
    for (int part : {static_cast<int>(task.kind), task.call, task.microbatch, task.parameter})
      hash = mix(hash, static_cast<std::uint64_t>(part));
    for (char flag : task.accumulate) hash = mix(hash, static_cast<std::uint64_t>(flag));
    for (int id : task.reads) hash = memory.read(id, hash);
    outcome.read[{task.kind, task.call, task.microbatch, task.parameter}] = hash;
    // Workspace is filled while the task runs, whatever was to be kept there.
    for (int id : task.writes)
      if (plan.buffers[static_cast<size_t>(id)].kind == BufferKind::workspace)
        memory.write(id, mix(hash, t));
    for (int id : task.writes)
      if (plan.buffers[static_cast<size_t>(id)].kind != BufferKind::workspace)
        memory.write(id, hash);
  }
  for (size_t i = 0; i < plan.buffers.size(); ++i)
    if (plan.buffers[i].persistent) outcome.left.push_back(memory.read(static_cast<int>(i), 3));
  return outcome;
}

}  // namespace outsize::testing_plan
