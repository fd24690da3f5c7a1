// Training a golden's model for as many steps as the golden has: through TrainingEngine, and
// through program, plan and executor put together here with options the engine does not offer.
#pragma once

#include <vector>

#include "exec/executor.h"
#include "models/golden_case.h"

namespace outsize::testing_models {

struct Trained {
  std::vector<double> losses, norms;
  Tensors first_gradients;  // before clipping
  Tensors last_weights;     // f32 masters

  bool operator==(const Trained&) const = default;
};

// `by_rows`: one microbatch per row, accumulated.
Trained train_with_engine(const Golden& golden, DType dtype, bool by_rows = false);
Trained train_with_options(const Golden& golden, DType dtype, const CompileOptions& options,
                           Recompute recompute = Recompute::nothing);

}  // namespace outsize::testing_models
