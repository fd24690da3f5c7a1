// Vector kernels of activation; see core/simd.h for how one source serves every instruction set.
#pragma once

#include <cstdint>

#include "core/streaming.h"

namespace outsize {

// Indices: "elements are bf16", then the activation kind. All work on elements [begin, end).
struct ActivationKernels {
  void (*forward[2][5])(const void* x, Result y, std::int64_t begin, std::int64_t end);
  void (*backward[2][5])(const void* dy, const void* x, Result dx, std::int64_t begin,
                         std::int64_t end);
};

namespace isa_baseline {
extern const ActivationKernels activation_table;
}
namespace isa_avx2 {
extern const ActivationKernels activation_table;
}
namespace isa_avx512 {
extern const ActivationKernels activation_table;
}

}  // namespace outsize
