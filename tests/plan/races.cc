#include "plan/races.h"

#include <fmt/format.h>

#include <span>
#include <vector>

namespace outsize::testing_plan {
namespace {

size_t task_count(const Plan& plan) {
  return plan.tasks.size() * (plan.carries ? 2 : 1);
}

// Those of a second run come after those of the first.
const Task& task_at(const Plan& plan, size_t number) {
  return plan.tasks[number % plan.tasks.size()];
}

// before[b][a]: task a has certainly ended when task b starts.
std::vector<std::vector<bool>> closure(const Plan& plan) {
  const size_t count = task_count(plan), once = plan.tasks.size();
  std::vector<std::vector<bool>> before(count, std::vector<bool>(count, false));
  for (size_t b = 0; b < count; ++b) {
    const auto learn = [&](size_t a) {
      before[b][a] = true;
      for (size_t i = 0; i < a; ++i)
        if (before[a][i]) before[b][i] = true;
    };
    const Task& task = task_at(plan, b);
    for (size_t a = b; a-- > 0;)
      if (task_at(plan, a).resource == task.resource) {
        learn(a);
        break;
      }
    const bool second = b >= once;
    for (int a : task.after) learn(static_cast<size_t>(a) + (second ? once : 0));
    if (!second) continue;
    for (size_t a = 0; a < once; ++a)
      if (plan.tasks[a].resource != Resource::disk_write) learn(a);
    if (task.after_previous >= 0) learn(static_cast<size_t>(task.after_previous));
  }
  return before;
}

bool overlap(const Extent& a, const Extent& b) {
  return a.tier == b.tier && a.bytes > 0 && b.bytes > 0 && a.offset < b.offset + b.bytes &&
         b.offset < a.offset + a.bytes;
}

bool conflict(const Plan& plan, std::span<const int> writes, std::span<const int> uses) {
  for (int w : writes)
    for (int u : uses)
      if (overlap(plan.buffers[static_cast<size_t>(w)].extent,
                  plan.buffers[static_cast<size_t>(u)].extent))
        return true;
  return false;
}

}  // namespace

std::optional<std::string> find_race(const Plan& plan) {
  const auto before = closure(plan);
  for (size_t b = 0; b < task_count(plan); ++b)
    for (size_t a = 0; a < b; ++a) {
      if (before[b][a]) continue;
      const Task &one = task_at(plan, a), &other = task_at(plan, b);
      if (conflict(plan, one.writes, other.reads) || conflict(plan, one.writes, other.writes) ||
          conflict(plan, other.writes, one.reads))
        return fmt::format("tasks {} ({}) and {} ({})", a, name_of(one.kind), b,
                           name_of(other.kind));
    }
  return std::nullopt;
}

}  // namespace outsize::testing_plan
