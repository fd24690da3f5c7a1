#include "plan/plan.h"

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

const char* name_of(TaskKind kind) {
  switch (kind) {
    case TaskKind::forward:
      return "forward";
    case TaskKind::backward:
      return "backward";
    case TaskKind::gradient_norm:
      return "gradient_norm";
    case TaskKind::update:
      return "update";
  }
  return "forward";
}

}  // namespace outsize
