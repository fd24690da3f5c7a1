#include "plan/plan.h"

#include <fmt/format.h>

namespace outsize {

const char* name_of(BufferKind kind) {
  switch (kind) {
    case BufferKind::weights:
      return "weights";
    case BufferKind::optimizer:
      return "optimizer";
    case BufferKind::gradients:
      return "gradients";
    case BufferKind::activations:
      return "activations";
    case BufferKind::workspace:
      return "workspace";
    case BufferKind::batch:
      return "batch";
    case BufferKind::state:
      return "state";
  }
  return "workspace";
}

double at_target_share(const std::vector<double>& prices, double share) {
  double upper = 1;
  for (size_t i = 0; i + 1 < prices.size(); ++i, upper /= 2)
    if (share >= upper / 2)
      return prices[i + 1] + (prices[i] - prices[i + 1]) * (2 * share / upper - 1);
  return prices.empty() ? 0 : prices.back() * share / upper;
}

const char* name_of(Resource resource) {
  switch (resource) {
    case Resource::cpu:
      return "cpu";
    case Resource::disk_read:
      return "disk_read";
    case Resource::disk_write:
      return "disk_write";
  }
  return "cpu";
}

const char* name_of(TaskKind kind) {
  switch (kind) {
    case TaskKind::forward:
      return "forward";
    case TaskKind::backward:
      return "backward";
    case TaskKind::gradient_squares:
      return "gradient_squares";
    case TaskKind::read:
      return "read";
    case TaskKind::write:
      return "write";
    case TaskKind::publish:
      return "publish";
    case TaskKind::seal:
      return "seal";
    case TaskKind::commit:
      return "commit";
    case TaskKind::gradient_norm:
      return "gradient_norm";
    case TaskKind::update:
      return "update";
  }
  return "forward";
}

std::string task_name(const Program& program, const Task& task) {
  if (task.kind == TaskKind::publish)
    return fmt::format("publish {}", program.calls[static_cast<size_t>(task.group)].name);
  if (task.kind == TaskKind::gradient_squares)
    return fmt::format("{} of {}", name_of(task.kind),
                       program.calls[static_cast<size_t>(task.call)].name);
  if (task.call >= 0)
    return fmt::format("{} of {}, microbatch {}", name_of(task.kind),
                       program.calls[static_cast<size_t>(task.call)].name, task.microbatch);
  if (task.parameter >= 0)
    return fmt::format("{} of {}", name_of(task.kind),
                       program.parameters[static_cast<size_t>(task.parameter)].name);
  return name_of(task.kind);
}

}  // namespace outsize
