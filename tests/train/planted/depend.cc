// In place of the library's depend.cc: its own text under another name, and one that leaves out a
// dependency.
#define add_dependencies add_all_dependencies
#include "plan/depend.cc"
#undef add_dependencies

#include "train/planted/dropped.h"

namespace outsize {

std::optional<std::size_t> planted_dropped_dependency;

void add_dependencies(Plan& plan) {
  add_all_dependencies(plan);
  if (!planted_dropped_dependency) return;
  std::size_t count = 0;
  for (const Task& task : plan.tasks) count += task.after.size();
  if (count == 0) return;
  std::size_t left = *planted_dropped_dependency % count;
  for (Task& task : plan.tasks) {
    if (left < task.after.size()) {
      task.after.erase(task.after.begin() + static_cast<std::ptrdiff_t>(left));
      return;
    }
    left -= task.after.size();
  }
}

}  // namespace outsize
