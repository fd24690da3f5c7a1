// Vector kernels of add; see core/simd.h for how one source serves every instruction set.
#pragma once

#include <cstdint>

#include "core/streaming.h"

namespace outsize {

struct AddKernels {
  // y[i] = a[i] + b[i] for i in [begin, end); the index is "elements are bf16".
  void (*add[2])(const void* a, const void* b, Result y, std::int64_t begin, std::int64_t end);
};

namespace isa_baseline {
extern const AddKernels add_table;
}
namespace isa_avx2 {
extern const AddKernels add_table;
}
namespace isa_avx512 {
extern const AddKernels add_table;
}

}  // namespace outsize
