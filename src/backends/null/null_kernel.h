// The null backend: kernels that compute nothing. With the ops' shape rules and costs it runs whole
// schedules without arithmetic, so that planning and execution of any size can be tested anywhere.
#pragma once

#include "graph/op.h"

namespace outsize {

class NullKernel : public Kernel {
 public:
  // Outputs keep whatever they held.
  Status launch(const KernelArgs&) const noexcept override { return {}; }
};

}  // namespace outsize
