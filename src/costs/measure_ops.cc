#include "costs/measure_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "core/error.h"
#include "costs/call_timer.h"
#include "costs/op_samples.h"
#include "ops/linear/linear.h"
#include "optim/clip.h"
#include "optim/update_rule.h"

namespace outsize {
namespace {

constexpr std::array kDTypes = {DType::f32, DType::bf16};
constexpr std::int64_t kUpdateElements[] = {1 << 16, 1 << 20, 1 << 23};

const char* const kOptimizers[] = {"adamw", "sgd", "adafactor"};

void say(const MeasureOptions& options, std::string_view text) {
  if (options.report) options.report(text);
}

// y = x·wᵀ, dx = dy·w, dw (+)= dyᵀ·x: the op whose operands lie in this form, with sides m, k, n.
OpCall product_call(GemmForm form, DType dtype, const GemmShape& s) {
  const auto type = [&](std::int64_t rows, std::int64_t columns) {
    return ValueType{dtype, {rows, columns}};
  };
  const bool adds = form == GemmForm::tn_add;
  OpCall call;
  if (form == GemmForm::nt) call = {&linear_op(), {}, {type(s.m, s.k), type(s.n, s.k)}, {}};
  if (form == GemmForm::nn)
    call = {&linear_grad_input_op(), {}, {type(s.m, s.k), type(s.k, s.n)}, {}};
  if (form == GemmForm::tn || adds)
    call = {&linear_grad_weight_op(),
            {{"accumulate", std::int64_t{adds}}},
            {type(s.k, s.m), type(s.k, s.n)},
            {}};
  call.outputs = call.op->infer(call.attrs, call.inputs);
  return call;
}

struct TimedProduct {
  GemmShape shape;
  double seconds;
};

// Rarely true of the product; mostly something else had the processor.
bool is_slower_than_larger(const TimedProduct& product, const std::vector<TimedProduct>& others) {
  const GemmShape& own = product.shape;
  return std::any_of(others.begin(), others.end(), [&](const TimedProduct& other) {
    const GemmShape& shape = other.shape;
    return shape.m >= own.m && shape.k >= own.k && shape.n >= own.n &&
           other.seconds < product.seconds;
  });
}

void measure_products(const MeasureOptions& options, CallTimer& timer, DType dtype,
                      Machine& machine) {
  const auto& sides = options.product_sides;
  std::vector<std::int64_t> rows = sides;
  rows.push_back(options.few_rows);
  for (const GemmForm form : {GemmForm::nt, GemmForm::nn, GemmForm::tn, GemmForm::tn_add}) {
    say(options, fmt::format("products of training, {} {}", name_of(dtype), name_of(form)));
    const bool sums_rows = form == GemmForm::tn || form == GemmForm::tn_add;
    const auto time = [&](const GemmShape& shape) {
      return timer.seconds({product_call(form, dtype, shape), {}}, options.repeats);
    };
    std::vector<TimedProduct> timed;
    for (const std::int64_t m : sums_rows ? sides : rows)
      for (const std::int64_t k : sums_rows ? rows : sides)
        for (const std::int64_t n : sides) timed.push_back({{m, k, n}, time({m, k, n})});
    for (TimedProduct& product : timed)
      if (is_slower_than_larger(product, timed))
        product.seconds = std::min(product.seconds, time(product.shape));
    for (const auto& [shape, seconds] : timed) {
      const double gflops = 2.0 * static_cast<double>(shape.m * shape.k * shape.n) / seconds / 1e9;
      machine.cpu.gemm_shapes.push_back({dtype, shape, {gflops, gflops, gflops}, form});
    }
  }
}

// Ascending in work and in seconds: a hiccup at a small size must not make a larger one cheaper.
void keep_in_order(std::vector<OpPoint>& points) {
  std::sort(points.begin(), points.end(),
            [](const OpPoint& a, const OpPoint& b) { return a.work < b.work; });
  for (size_t i = points.size(); i-- > 1;)
    points[i - 1].seconds = std::min(points[i - 1].seconds, points[i].seconds);
}

class Curves {
 public:
  explicit Curves(Machine& machine) : machine_(machine) {}
  void add(const OpWork& work, double seconds) {
    auto at = std::find_if(machine_.ops.begin(), machine_.ops.end(), [&](const OpRate& rate) {
      return rate.op == work.op && rate.variant == work.variant && rate.width == work.width;
    });
    if (at == machine_.ops.end())
      at = machine_.ops.insert(at, {work.op, work.variant, work.width, {}});
    const auto same = std::find_if(at->points.begin(), at->points.end(),
                                   [&](const OpPoint& point) { return point.work == work.work; });
    if (same != at->points.end()) return;  // the least a sample can be, met once before
    at->points.push_back({work.work, work.bytes, seconds});
    keep_in_order(at->points);
  }

 private:
  Machine& machine_;
};

void measure_vector_ops(const MeasureOptions& options, CallTimer& timer, DType dtype,
                        Machine& machine) {
  say(options, fmt::format("ops, {}", name_of(dtype)));
  Curves curves(machine);
  for (const std::int64_t elements : options.elements)
    for (const OpSample& sample : op_samples(dtype, elements)) {
      double seconds = timer.seconds(sample, options.repeats);
      const OpWork work = work_of(sample.call);
      if (sample.call.op->products != nullptr) {
        // What is left after its products.
        const CostModel products(machine);
        for (const Product& product : sample.call.op->products(sample.call.query()))
          seconds -= products.seconds(product);
        seconds = std::max(seconds, std::numeric_limits<double>::min());
      }
      curves.add(work, seconds);
    }
}

void measure_update(const UpdateRule& rule, DType dtype, int repeats, Curves& curves) {
  for (const std::int64_t elements : kUpdateElements) {
    const ParameterSpec spec{{elements / 256, 256}, dtype, true};
    struct Memory {
      TimerMemory weight, gradient;
      std::vector<TimerMemory> state;
      std::vector<void*> addresses;
    };
    std::vector<Memory> sets;
    std::int64_t bytes = 0;
    for (int count = 1; count > static_cast<int>(sets.size());) {
      sets.push_back({TimerMemory(elements * size_of(dtype)), TimerMemory(elements * 4), {}, {}});
      Memory& set = sets.back();
      bytes = elements * (size_of(dtype) + 4);
      std::fill_n(set.weight.data(), elements * size_of(dtype), 0);
      std::fill_n(reinterpret_cast<float*>(set.gradient.data()), elements, 0.01f);
      for (const StateBuffer& state : rule.state(spec)) {
        const std::int64_t size = state.count * size_of(state.dtype);
        set.state.emplace_back(size);
        std::fill_n(set.state.back().data(), size, 0);
        set.addresses.push_back(set.state.back().data());
        bytes += size;
      }
      count = rotation_sets(bytes);
    }
    const TimerMemory workspace(rule.workspace_bytes(spec));
    const double seconds = time_work(
        [&](int turn) {
          Memory& set = sets[static_cast<size_t>(turn) % sets.size()];
          UpdateArgs args;
          args.weight = set.weight.data();
          args.gradient = reinterpret_cast<const float*>(set.gradient.data());
          args.state = set.addresses;
          args.step = turn + 1;
          args.lr = 1e-4;
          args.workspace = workspace.data();
          ensure(rule.update(spec, args).ok(), "[costs] update by {} failed", rule.name());
        },
        repeats);
    curves.add(work_of_update(rule, spec), seconds);
  }
}

void measure_optimizers(const MeasureOptions& options, Machine& machine) {
  say(options, "optimizers");
  Curves curves(machine);
  for (const char* name : kOptimizers)
    for (const DType moments : kDTypes) {
      const bool no_moments = std::string_view(name) == "adafactor";
      if (no_moments && moments == DType::bf16) continue;
      OptimizerOptions how{.name = name, .moment_dtype = moments};
      how.momentum = 0.9;
      const auto rule = make_update_rule(how);
      for (const DType dtype : kDTypes) measure_update(*rule, dtype, options.repeats, curves);
    }
  for (const std::int64_t elements : kUpdateElements) {
    const int sets = rotation_sets(elements * 4);
    const TimerMemory gradients(elements * 4 * sets);
    auto* values = reinterpret_cast<float*>(gradients.data());
    std::fill_n(values, elements * sets, 0.01f);
    volatile double sink = 0;
    const double seconds = time_work(
        [&](int turn) {
          sink = sink + sum_of_squares(values + elements * (turn % sets), elements);
        },
        options.repeats);
    curves.add(work_of_norm(static_cast<double>(elements) * 4), seconds);
  }
}

}  // namespace

void measure_costs(const MeasureOptions& options, Machine& machine) {
  CallTimer timer(options.cache_bytes);
  for (const DType dtype : kDTypes) {
    // Without products of its own kind a dtype runs on the references: nobody trains with those.
    if (dtype == DType::bf16 && !machine.cpu.gemm_bf16_gflops) continue;
    measure_products(options, timer, dtype, machine);
    measure_vector_ops(options, timer, dtype, machine);
  }
  measure_optimizers(options, machine);
}

}  // namespace outsize
