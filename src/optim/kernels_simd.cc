#include "optim/lanes.h"

// Everything a kernel calls becomes part of it: its loop body stands there twice, for groups of 16
// and for the last one, and a call per group would cost more than the arithmetic.
#define OUTSIZE_KERNEL [[gnu::flatten]]

namespace outsize::OUTSIZE_ISA {
namespace {

// Calls f with the master's address in its own type.
template <class F>
OUTSIZE_INLINE auto with_master(MasterAddress master, F f) {
  return master.low ? f(SplitMaster(master)) : f(WholeMaster(master));
}

// Calls f with the kept mean's address in its own type.
template <class F>
OUTSIZE_INLINE void with_mean(void* mean, bool bf16, F f) {
  if (bf16)
    f(static_cast<uint16_t*>(mean));
  else
    f(static_cast<float*>(mean));
}

OUTSIZE_KERNEL void store_master(const float* master, MasterAddress to, int64_t begin,
                                 int64_t end) {
  const SplitMaster split(to);
  each_group(begin, end, [&](int64_t i, int n) { split.put(i, get(master + i, n), n); });
}

OUTSIZE_KERNEL void load_master(MasterAddress from, float* master, int64_t begin, int64_t end) {
  const SplitMaster split(from);
  each_group(begin, end, [&](int64_t i, int n) { put(master + i, split.get(i, n), n); });
}

// Σ at(i, n), at giving f64x16. Two running sums: one alone would wait for its own additions.
template <class At>
OUTSIZE_INLINE double sum_groups(int64_t begin, int64_t end, At at) {
  f64x16 even{};
  f64x16 odd{};
  int64_t i = begin;
  for (; i + 2 * kLanes <= end; i += 2 * kLanes) {
    even += at(i, kLanes);
    odd += at(i + kLanes, kLanes);
  }
  each_group(i, end, [&](int64_t j, int n) { even += at(j, n); });
  even += odd;
  return sum(even);
}

OUTSIZE_KERNEL double sum_of_squares(const float* x, int64_t begin, int64_t end) {
  return sum_groups(begin, end, [=](int64_t i, int n) { return squares(get(x + i, n)); });
}

OUTSIZE_KERNEL double master_sum_of_squares(MasterAddress master, int64_t begin, int64_t end) {
  return with_master(master, [&](auto weight) {
    return sum_groups(begin, end, [=](int64_t i, int n) { return squares(weight.get(i, n)); });
  });
}

template <class Master, class Mean>
OUTSIZE_KERNEL void adamw_loop(const AdamwKernelArgs& a, Master master, Mean* mean, Mean* square,
                               int64_t begin, int64_t end) {
  const f32x16 beta1_rest = splat(a.one_minus_beta1);
  const f32x16 root_correction = splat(a.inverse_root_correction);
  const f32x16 eps = splat(a.eps);
  const f32x16 minus_step = splat(-a.step_size);
  each_group(begin, end, [&](int64_t i, int n) {
    const f32x16 g = get(a.gradient + i, n) * a.gradient_scale;
    f32x16 m = get(mean + i, n);
    m = fma(beta1_rest, g - m, m);
    const f32x16 v = fma(g * a.one_minus_beta2, g, get(square + i, n) * a.beta2);
    const f32x16 root = fma(sqrt(v), root_correction, eps);
    master.put(i, fma(minus_step, m / root, master.get(i, n) * a.keep), n);
    put(mean + i, m, n);
    put(square + i, v, n);
  });
}

void adamw(const AdamwKernelArgs& args, int64_t begin, int64_t end) {
  with_master(args.master, [&](auto master) {
    with_mean(args.mean, args.bf16_moments, [&](auto* mean) {
      adamw_loop(args, master, mean, static_cast<decltype(mean)>(args.square), begin, end);
    });
  });
}

// The gradient as SGD takes it: scaled, with the L2 term of the weights p.
OUTSIZE_INLINE f32x16 sgd_gradient(const SgdKernelArgs& a, f32x16 p, int64_t i, int n) {
  return fma(splat(a.weight_decay), p, get(a.gradient + i, n) * a.gradient_scale);
}

template <class Master, class Mean>
OUTSIZE_KERNEL void sgd_loop(const SgdKernelArgs& a, Master master, Mean* velocity, int64_t begin,
                             int64_t end) {
  const f32x16 momentum = splat(a.momentum);
  const f32x16 minus_lr = splat(-a.lr);
  each_group(begin, end, [&](int64_t i, int n) {
    const f32x16 p = master.get(i, n);
    const f32x16 g = sgd_gradient(a, p, i, n);
    const f32x16 b = fma(momentum, get(velocity + i, n), g);
    put(velocity + i, b, n);
    master.put(i, fma(minus_lr, a.nesterov ? fma(momentum, b, g) : b, p), n);
  });
}

OUTSIZE_KERNEL void sgd(const SgdKernelArgs& args, int64_t begin, int64_t end) {
  with_master(args.master, [&](auto master) {
    if (args.velocity)
      return with_mean(args.velocity, args.bf16_moments,
                       [&](auto* velocity) { sgd_loop(args, master, velocity, begin, end); });
    each_group(begin, end, [&](int64_t i, int n) {
      const f32x16 p = master.get(i, n);
      master.put(i, fma(splat(-args.lr), sgd_gradient(args, p, i, n), p), n);
    });
  });
}

OUTSIZE_KERNEL double add_row_squares(const float* gradient, float scale, double* column_sums,
                                      int64_t cols) {
  f64x16 row{};
  each_group(0, cols, [&](int64_t i, int n) {
    const f64x16 square = squares(get(gradient + i, n) * scale);
    row += square;
    f64x16 column{};
    __builtin_memcpy(&column, column_sums + i, static_cast<size_t>(n) * sizeof(double));
    column += square;
    __builtin_memcpy(column_sums + i, &column, static_cast<size_t>(n) * sizeof(double));
  });
  return sum(row);
}

OUTSIZE_KERNEL void lerp_squares(const float* gradient, float scale, float weight, float* second,
                                 int64_t begin, int64_t end) {
  each_group(begin, end, [&](int64_t i, int n) {
    const f32x16 g = get(gradient + i, n) * scale;
    const f32x16 s = get(second + i, n);
    put(second + i, fma(splat(weight), fma(g, g, -s), s), n);
  });
}

// max takes its second operand where either is NaN: NaN stays NaN.
OUTSIZE_INLINE f32x16 second_moment(const AdafactorRow& row, int64_t i, int n) {
  return max(splat(row.floor), get(row.second + i, n) * row.factor);
}

OUTSIZE_INLINE f32x16 scaled_gradient(const AdafactorRow& row, int64_t i, int n) {
  return get(row.gradient + i, n) * row.gradient_scale;
}

// u² = g · (g / second): a division alone is slower than memory here, a root on top would double
// that.
OUTSIZE_KERNEL double adafactor_squares(const AdafactorRow& row, int64_t begin, int64_t end) {
  return sum_groups(begin, end, [&](int64_t i, int n) {
    const f32x16 g = scaled_gradient(row, i, n);
    return widen(g * (g / second_moment(row, i, n)));
  });
}

OUTSIZE_KERNEL void adafactor_apply(const AdafactorRow& row, int64_t begin, int64_t end) {
  const f32x16 minus_step = splat(-row.step_size);
  with_master(row.master, [&](auto master) {
    each_group(begin, end, [&](int64_t i, int n) {
      const f32x16 u = scaled_gradient(row, i, n) / sqrt(second_moment(row, i, n));
      master.put(i, fma(minus_step, u, master.get(i, n) * row.keep), n);
    });
  });
}

}  // namespace

const OptimKernels kOptimKernels = {
    store_master, load_master,     sum_of_squares, master_sum_of_squares, adamw,
    sgd,          add_row_squares, lerp_squares,   adafactor_squares,     adafactor_apply,
};

}  // namespace outsize::OUTSIZE_ISA
