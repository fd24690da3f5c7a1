// Adafactor: Shazeer & Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", ICML
// 2018; the arithmetic of torch.optim.Adafactor. With g = gradient_scale · gradient, at update t:
//   β = 1 - t^-decay_rate;  α = max(eps2, rms(w)) · min(lr, 1/√t);  w ← w · (1 - lr·decay)
//   matrices: row ← β·row + (1-β)·mean of g² along the row; column likewise;
//             second moment v = row · column / max(mean(row), eps1)   (leading axes: one matrix
//             each)
//   vectors:  v ← β·v + (1-β)·g²
//   u = g / √max(v, eps1²);  w ← w - α · u / max(1, rms(u) / clip_threshold)
// α uses the weights before decay. Sums are f64, the rest f32. Not elementwise.
#include <algorithm>
#include <cmath>
#include <span>

#include "core/error.h"
#include "core/parallel.h"
#include "optim/kernels.h"
#include "optim/rules.h"
#include "optim/sum_blocks.h"

namespace outsize {
namespace {

// A parameter of two axes or more as count matrices [rows, cols], in bands of rows that are summed
// by one task each.
struct Matrices {
  explicit Matrices(const Shape& shape)
      : rows(shape[-2]),
        cols(shape[-1]),
        count(rows == 0 ? 0 : shape.rows() / rows),
        // At most 16 bands of at least 64 rows: their column sums stay small beside the gradient.
        band(std::max(std::min<std::int64_t>(rows, 64), (rows + 15) / 16)),
        bands(rows == 0 ? 0 : (rows - 1) / band + 1) {}

  std::int64_t rows;
  std::int64_t cols;
  std::int64_t count;
  std::int64_t band;   // rows of a band
  std::int64_t bands;  // per matrix
};

// 1 - β of the second moment's running mean.
float new_share(const OptimizerOptions& options, std::int64_t step) {
  return static_cast<float>(std::pow(static_cast<double>(step), -options.decay_rate));
}

float lerp(float from, double to, float weight) {
  return from + weight * (static_cast<float>(to) - from);
}

class Adafactor final : public UpdateRule {
 public:
  explicit Adafactor(const OptimizerOptions& options) : options_(options) {
    eps1_ = options.eps1.value_or(0x1p-23);
  }

  const char* name() const override { return "adafactor"; }
  bool elementwise() const override { return false; }

  std::int64_t workspace_bytes(const ParameterSpec& spec) const override {
    if (spec.shape.ndim() < 2) return 0;
    const Matrices m(spec.shape);
    const std::int64_t size = sizeof(double);
    std::int64_t bytes = 0;
    std::int64_t means = 0;
    if (__builtin_mul_overflow(m.count * m.bands, m.cols, &bytes) ||
        __builtin_mul_overflow(bytes, size, &bytes) ||
        __builtin_mul_overflow(m.count, size, &means) ||
        __builtin_add_overflow(bytes, means, &bytes))
      fail(ErrorKind::InvalidArgument,
           "[adafactor] the scratch of one update overflows; got a "
           "parameter of shape {}; expected one that fits an address space",
           to_string(spec.shape));
    return bytes;
  }

  UpdateCost cost(const ParameterSpec& spec) const override {
    const std::int64_t n = spec.shape.numel();
    std::int64_t state = 0;
    for (const StateBuffer& buffer : rule_state(spec))
      state += buffer.count * size_of(buffer.dtype);
    const std::int64_t kept = n * kMasterBytes + state;
    // The gradient three times: for its sums, for the size of the update, for the update itself.
    return {.bytes_read = kept + n * (kMasterBytes + 12) + 2 * state,
            .bytes_written = kept,
            .flops = 20 * n};
  }

 private:
  std::vector<StateBuffer> rule_state(const ParameterSpec& spec) const override {
    if (spec.shape.ndim() < 2) return {{"variance", DType::f32, spec.shape.numel()}};
    const Matrices m(spec.shape);
    return {{"row_variance", DType::f32, m.count * m.rows},
            {"column_variance", DType::f32, m.count * m.cols}};
  }

  int rule_state_count(const ParameterSpec& spec) const override {
    return spec.shape.ndim() < 2 ? 1 : 2;
  }

  Status apply(const ParameterSpec& spec, const UpdateTarget& target,
               const UpdateArgs& args) const noexcept override {
    if (spec.shape.ndim() > 1 && args.workspace == nullptr)
      return Status("[adafactor] workspace address is null");
    const double n = static_cast<double>(target.count);
    const double relative = std::max(options_.eps2, std::sqrt(master_squares(target) / n));
    const double alpha =
        relative * std::min(args.lr, 1 / std::sqrt(static_cast<double>(args.step)));
    AdafactorRow whole{
        .master = {target.weight, target.low},
        .gradient = args.gradient,
        .second = static_cast<const float*>(target.rule[0]),
        .factor = 1,
        .floor = static_cast<float>(eps1_ * eps1_),
        .gradient_scale = static_cast<float>(args.gradient_scale),
        .keep = static_cast<float>(1 - args.lr * (spec.decay ? options_.weight_decay : 0)),
        .step_size = 0,
    };
    const auto step_size = [&](double update_squares) {
      const double rms = std::sqrt(update_squares / n);
      return static_cast<float>(alpha / std::max(1.0, rms / options_.clip_threshold));
    };
    if (spec.shape.ndim() < 2)
      apply_vector(target, args, whole, step_size);
    else
      apply_matrices(Matrices(spec.shape), target, args, whole, step_size);
    return {};
  }

  static double master_squares(const UpdateTarget& target) {
    const auto kernel = optim_kernels().master_sum_of_squares;
    return sum_blocks(target.count, kUpdateGrain, [&](std::int64_t begin, std::int64_t end) {
      return kernel({target.weight, target.low}, begin, end);
    });
  }

  template <class StepSize>
  void apply_vector(const UpdateTarget& target, const UpdateArgs& args, AdafactorRow row,
                    StepSize step_size) const {
    const OptimKernels& kernels = optim_kernels();
    const float share = new_share(options_, args.step);
    float* variance = static_cast<float*>(target.rule[0]);
    const double squares =
        sum_blocks(target.count, kUpdateGrain, [&](std::int64_t begin, std::int64_t end) {
          kernels.lerp_squares(row.gradient, row.gradient_scale, share, variance, begin, end);
          return kernels.adafactor_squares(row, begin, end);
        });
    row.step_size = step_size(squares);
    parallel_for(target.count, kUpdateGrain, [&](std::int64_t begin, std::int64_t end) {
      kernels.adafactor_apply(row, begin, end);
    });
  }

  template <class StepSize>
  void apply_matrices(const Matrices& m, const UpdateTarget& target, const UpdateArgs& args,
                      AdafactorRow whole, StepSize step_size) const {
    double* column_sums = static_cast<double*>(args.workspace);
    double* row_means = column_sums + m.count * m.bands * m.cols;
    update_factors(m, target, args, column_sums, row_means);
    const OptimKernels& kernels = optim_kernels();
    const auto row_at = [&](std::int64_t index) {
      const std::int64_t matrix = index / m.rows;
      AdafactorRow row = whole;
      row.master = row_address(target, index * m.cols);
      row.gradient = args.gradient + index * m.cols;
      row.second = static_cast<const float*>(target.rule[1]) + matrix * m.cols;
      row.factor = static_cast<float>(static_cast<const float*>(target.rule[0])[index] /
                                      std::max(row_means[matrix], eps1_));
      return row;
    };
    const std::int64_t rows = m.count * m.rows;
    const std::int64_t grain = std::max<std::int64_t>(1, kUpdateGrain / m.cols);
    const double squares = sum_blocks(rows, grain, [&](std::int64_t begin, std::int64_t end) {
      double sum = 0;
      for (std::int64_t i = begin; i < end; ++i)
        sum += kernels.adafactor_squares(row_at(i), 0, m.cols);
      return sum;
    });
    whole.step_size = step_size(squares);
    parallel_for(rows, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) kernels.adafactor_apply(row_at(i), 0, m.cols);
    });
  }

  static MasterAddress row_address(const UpdateTarget& target, std::int64_t element) {
    char* weight = static_cast<char*>(target.weight);
    if (target.low) return {weight + element * 2, target.low + element};
    return {weight + element * 4, nullptr};
  }

  // Brings row and column factors up to date and leaves the mean row factor of each matrix.
  void update_factors(const Matrices& m, const UpdateTarget& target, const UpdateArgs& args,
                      double* column_sums, double* row_means) const {
    const auto add_row_squares = optim_kernels().add_row_squares;
    const float share = new_share(options_, args.step);
    const float scale = static_cast<float>(args.gradient_scale);
    float* row_variance = static_cast<float*>(target.rule[0]);
    float* column_variance = static_cast<float*>(target.rule[1]);
    const std::int64_t grain = std::max<std::int64_t>(1, kUpdateGrain / (m.band * m.cols));
    parallel_for(m.count * m.bands, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        double* sums = column_sums + task * m.cols;
        std::fill_n(sums, m.cols, 0.0);
        const std::int64_t matrix = task / m.bands;
        const std::int64_t first = task % m.bands * m.band;
        const std::int64_t last = std::min(m.rows, first + m.band);
        for (std::int64_t i = matrix * m.rows + first; i < matrix * m.rows + last; ++i) {
          const double sum = add_row_squares(args.gradient + i * m.cols, scale, sums, m.cols);
          row_variance[i] = lerp(row_variance[i], sum / static_cast<double>(m.cols), share);
        }
      }
    });
    parallel_for(m.count * m.cols, 4096, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const double* sums = column_sums + i / m.cols * m.bands * m.cols + i % m.cols;
        double sum = 0;
        for (std::int64_t band = 0; band < m.bands; ++band) sum += sums[band * m.cols];
        column_variance[i] = lerp(column_variance[i], sum / static_cast<double>(m.rows), share);
      }
    });
    parallel_for(m.count, std::max<std::int64_t>(1, kUpdateGrain / m.rows),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t matrix = begin; matrix < end; ++matrix) {
                     double sum = 0;
                     for (std::int64_t i = 0; i < m.rows; ++i)
                       sum += row_variance[matrix * m.rows + i];
                     row_means[matrix] = sum / static_cast<double>(m.rows);
                   }
                 });
  }

  OptimizerOptions options_;
  double eps1_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_adafactor(const OptimizerOptions& options) {
  require_in("adafactor", "decay_rate", options.decay_rate, {0, 1e30, false});
  require_in("adafactor", "clip_threshold", options.clip_threshold, {0, 1e30, false});
  // The square of eps1 must be a normal f32, or a zero gradient would be divided by zero.
  if (options.eps1) require_in("adafactor", "eps1", *options.eps1, {0x1p-63, 1e15});
  require_in("adafactor", "eps2", options.eps2, {0, 1e30});
  require_in("adafactor", "weight_decay", options.weight_decay, {0, 1e30});
  if (options.moment_dtype != DType::f32)
    fail(ErrorKind::Unsupported,
         "[adafactor] factored moments are kept in f32; got moment_dtype {}; "
         "expected f32; try adamw, whose moments may be bf16",
         name_of(options.moment_dtype));
  return std::make_unique<Adafactor>(options);
}

}  // namespace outsize
