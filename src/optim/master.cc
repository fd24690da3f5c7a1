#include "optim/master.h"

#include "core/parallel.h"
#include "optim/kernels.h"
#include "optim/rules.h"

namespace outsize {

void store_master(const float* master, std::int64_t n, bf16* weight, std::int16_t* low) {
  const OptimKernels& kernels = optim_kernels();
  parallel_for(n, kUpdateGrain, [&](std::int64_t begin, std::int64_t end) {
    kernels.store_master(master, {weight, low}, begin, end);
  });
}

void load_master(const bf16* weight, const std::int16_t* low, std::int64_t n, float* master) {
  const OptimKernels& kernels = optim_kernels();
  const MasterAddress from{const_cast<bf16*>(weight), const_cast<std::int16_t*>(low)};
  parallel_for(n, kUpdateGrain, [&](std::int64_t begin, std::int64_t end) {
    kernels.load_master(from, master, begin, end);
  });
}

}  // namespace outsize
