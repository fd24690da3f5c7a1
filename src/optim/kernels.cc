#include "optim/kernels.h"

#include "core/isa.h"

namespace outsize {

const OptimKernels& optim_kernels() {
  return select_isa(isa_baseline::kOptimKernels, isa_avx2::kOptimKernels,
                    isa_avx512::kOptimKernels);
}

}  // namespace outsize
