// attention and its gradient in plain float64 loops: the meaning of the op.
#pragma once

#include "graph/op.h"

namespace outsize {

void attention_reference(const Attrs& attrs, std::span<const RefTensor> inputs,
                         std::span<const RefTensor> outputs);
void attention_grad_reference(const Attrs& attrs, std::span<const RefTensor> inputs,
                              std::span<const RefTensor> outputs);

}  // namespace outsize
