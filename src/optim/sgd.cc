// Stochastic gradient descent with momentum, as torch.optim.SGD (dampening 0). Weight decay is its
// L2 term, part of the gradient and so of the momentum; it is not decoupled. At update t:
//   g = gradient_scale · gradient + decay · w;  b ← momentum · b + g from b = 0
//   w ← w - lr · (b, or g + momentum · b with nesterov; g without momentum, which keeps no state)
#include "core/error.h"
#include "core/parallel.h"
#include "optim/kernels.h"
#include "optim/rules.h"

namespace outsize {
namespace {

class Sgd final : public UpdateRule {
 public:
  explicit Sgd(const OptimizerOptions& options) : options_(options) {}

  const char* name() const override { return "sgd"; }
  bool elementwise() const override { return true; }

  UpdateCost cost(const ParameterSpec& spec) const override {
    const std::int64_t n = spec.shape.numel();
    const std::int64_t velocity = has_velocity() ? size_of(options_.moment_dtype) : 0;
    const std::int64_t kept = n * (kMasterBytes + velocity);
    return {.bytes_read = kept + 4 * n, .bytes_written = kept, .flops = 9 * n};
  }

 private:
  bool has_velocity() const { return options_.momentum > 0; }

  std::vector<StateBuffer> rule_state(const ParameterSpec& spec) const override {
    if (!has_velocity()) return {};
    return {{"momentum", options_.moment_dtype, spec.shape.numel()}};
  }

  int rule_state_count(const ParameterSpec&) const override { return has_velocity() ? 1 : 0; }

  Status apply(const ParameterSpec& spec, const UpdateTarget& target,
               const UpdateArgs& args) const noexcept override {
    const SgdKernelArgs kernel_args{
        .master = {target.weight, target.low},
        .gradient = args.gradient,
        .velocity = has_velocity() ? target.rule[0] : nullptr,
        .bf16_moments = options_.moment_dtype == DType::bf16,
        .nesterov = options_.nesterov,
        .gradient_scale = static_cast<float>(args.gradient_scale),
        .weight_decay = static_cast<float>(spec.decay ? options_.weight_decay : 0),
        .momentum = static_cast<float>(options_.momentum),
        .lr = static_cast<float>(args.lr),
    };
    const auto kernel = optim_kernels().sgd;
    parallel_for(target.count, kUpdateGrain,
                 [&](std::int64_t begin, std::int64_t end) { kernel(kernel_args, begin, end); });
    return {};
  }

  OptimizerOptions options_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_sgd(const OptimizerOptions& options) {
  require_in("sgd", "momentum", options.momentum, {0, 1});
  require_in("sgd", "weight_decay", options.weight_decay, {0, 1e30});
  require_moment_dtype("sgd", options.moment_dtype);
  if (options.nesterov && options.momentum == 0)
    fail(ErrorKind::InvalidArgument,
         "[sgd] nesterov looks one momentum step ahead; got momentum 0; expected momentum above 0");
  return std::make_unique<Sgd>(options);
}

}  // namespace outsize
