// layer_norm and its gradient in float64.
#pragma once

#include "graph/op.h"

namespace outsize {

void layer_norm_reference(const Attrs& attrs, std::span<const RefTensor> inputs,
                          std::span<const RefTensor> outputs);
void layer_norm_grad_reference(const Attrs& attrs, std::span<const RefTensor> inputs,
                               std::span<const RefTensor> outputs);

}  // namespace outsize
