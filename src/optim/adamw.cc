// AdamW: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; the arithmetic of
// torch.optim.AdamW (amsgrad off). With g = gradient_scale · gradient, at update t:
//   w ← w · (1 - lr·decay);  m ← m + (1-β₁)(g - m);  v ← β₂v + (1-β₂)g²
//   w ← w - lr/(1-β₁ᵗ) · m / (√v / √(1-β₂ᵗ) + eps)
#include <cmath>

#include "core/parallel.h"
#include "optim/kernels.h"
#include "optim/rules.h"

namespace outsize {
namespace {

class Adamw final : public UpdateRule {
 public:
  explicit Adamw(const OptimizerOptions& options) : options_(options) {}

  const char* name() const override { return "adamw"; }
  bool elementwise() const override { return true; }

  UpdateCost cost(const ParameterSpec& spec) const override {
    const std::int64_t n = spec.shape.numel();
    const std::int64_t kept = n * (kMasterBytes + 2 * size_of(options_.moment_dtype));
    return {.bytes_read = kept + 4 * n, .bytes_written = kept, .flops = 14 * n};
  }

 private:
  std::vector<StateBuffer> rule_state(const ParameterSpec& spec) const override {
    const std::int64_t n = spec.shape.numel();
    return {{"m", options_.moment_dtype, n}, {"v", options_.moment_dtype, n}};
  }

  int rule_state_count(const ParameterSpec&) const override { return 2; }

  Status apply(const ParameterSpec& spec, const UpdateTarget& target,
               const UpdateArgs& args) const noexcept override {
    const double t = static_cast<double>(args.step);
    const double decay = spec.decay ? options_.weight_decay : 0;
    const AdamwKernelArgs kernel_args{
        .master = {target.weight, target.low},
        .gradient = args.gradient,
        .mean = target.rule[0],
        .square = target.rule[1],
        .bf16_moments = options_.moment_dtype == DType::bf16,
        .gradient_scale = static_cast<float>(args.gradient_scale),
        .keep = static_cast<float>(1 - args.lr * decay),
        .one_minus_beta1 = static_cast<float>(1 - options_.beta1),
        .beta2 = static_cast<float>(options_.beta2),
        .one_minus_beta2 = static_cast<float>(1 - options_.beta2),
        .inverse_root_correction =
            static_cast<float>(1 / std::sqrt(1 - std::pow(options_.beta2, t))),
        .eps = static_cast<float>(options_.eps),
        .step_size = static_cast<float>(args.lr / (1 - std::pow(options_.beta1, t))),
    };
    const auto kernel = optim_kernels().adamw;
    parallel_for(target.count, kUpdateGrain,
                 [&](std::int64_t begin, std::int64_t end) { kernel(kernel_args, begin, end); });
    return {};
  }

  OptimizerOptions options_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_adamw(const OptimizerOptions& options) {
  require_in("adamw", "beta1", options.beta1, {0, 1});
  require_in("adamw", "beta2", options.beta2, {0, 1});
  require_in("adamw", "eps", options.eps, {0, 1e30});
  require_in("adamw", "weight_decay", options.weight_decay, {0, 1e30});
  require_moment_dtype("adamw", options.moment_dtype);
  return std::make_unique<Adamw>(options);
}

}  // namespace outsize
