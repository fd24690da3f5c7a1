// The vector kernels of this part: one table per instruction set, all with the same meaning.
// Each works on elements [begin, end) of one task; addresses are those of element 0. Included by
// *_simd.cc, so no std headers with templates here (core/simd.h says why).
#pragma once

#include <stdint.h>

namespace outsize {

// A master: f32 at weight when low is null, else bf16 at weight with its low half (optim/master.h).
struct MasterAddress {
  void* weight;
  int16_t* low;
};

struct AdamwKernelArgs {
  MasterAddress master;
  const float* gradient;
  void* mean;    // f32, or bf16 when bf16_moments
  void* square;  // same
  bool bf16_moments;
  float gradient_scale;
  float keep;  // 1 - lr · weight decay
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float inverse_root_correction;  // 1 / √(1 - beta2^step)
  float eps;
  float step_size;  // lr / (1 - beta1^step)
};

struct SgdKernelArgs {
  MasterAddress master;
  const float* gradient;
  void* velocity;  // null: no momentum; f32, or bf16 when bf16_moments
  bool bf16_moments;
  bool nesterov;
  float gradient_scale;
  float weight_decay;
  float momentum;
  float lr;
};

// One row of a matrix, or a whole vector, under Adafactor. The second moment of element i is
// factor · second[i] (a vector keeps it per element: factor 1), and counts as at least floor; the
// update u of element i is its gradient over the root of that.
struct AdafactorRow {
  MasterAddress master;
  const float* gradient;
  const float* second;
  float factor;
  float floor;
  float gradient_scale;
  float keep;       // 1 - lr · weight decay
  float step_size;  // weight = keep · weight - step_size · u
};

struct OptimKernels {
  void (*store_master)(const float* master, MasterAddress to, int64_t begin, int64_t end);
  void (*load_master)(MasterAddress from, float* master, int64_t begin, int64_t end);
  // Sums in f64; products of two f32 are exact in it, and lanes are summed in one order, so these
  // have the same bits on every instruction set.
  double (*sum_of_squares)(const float* x, int64_t begin, int64_t end);
  double (*master_sum_of_squares)(MasterAddress master, int64_t begin, int64_t end);
  void (*adamw)(const AdamwKernelArgs& args, int64_t begin, int64_t end);
  void (*sgd)(const SgdKernelArgs& args, int64_t begin, int64_t end);
  // Adds (scale · gradient[i])² to column_sums[i] and returns their sum.
  double (*add_row_squares)(const float* gradient, float scale, double* column_sums, int64_t cols);
  // second += weight · ((scale · gradient)² - second).
  void (*lerp_squares)(const float* gradient, float scale, float weight, float* second,
                       int64_t begin, int64_t end);
  // Sum of u².
  double (*adafactor_squares)(const AdafactorRow& row, int64_t begin, int64_t end);
  void (*adafactor_apply)(const AdafactorRow& row, int64_t begin, int64_t end);
};

namespace isa_baseline {
extern const OptimKernels kOptimKernels;
}
namespace isa_avx2 {
extern const OptimKernels kOptimKernels;
}
namespace isa_avx512 {
extern const OptimKernels kOptimKernels;
}

// The table of the active instruction set.
const OptimKernels& optim_kernels();

}  // namespace outsize
