// Vector kernels of gated_activation; see core/simd.h for how one source serves every ISA.
#pragma once

#include <cstdint>

#include "core/streaming.h"

namespace outsize {

// Indices: "elements are bf16", then the activation kind. All work on elements [begin, end).
struct GatedActivationKernels {
  void (*forward[2][2])(const void* gate, const void* up, Result y, std::int64_t begin,
                        std::int64_t end);
  void (*backward[2][2])(const void* dy, const void* gate, const void* up, Result dgate, Result dup,
                         std::int64_t begin, std::int64_t end);
};

namespace isa_baseline {
extern const GatedActivationKernels gated_activation_table;
}
namespace isa_avx2 {
extern const GatedActivationKernels gated_activation_table;
}
namespace isa_avx512 {
extern const GatedActivationKernels gated_activation_table;
}

}  // namespace outsize
