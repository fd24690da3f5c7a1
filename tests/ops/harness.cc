#include "ops/harness.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>

#include "core/half.h"
#include "core/rng.h"

namespace outsize::testing {
namespace {

constexpr size_t kGuardBytes = 64;
constexpr std::byte kGuard{0xa5};
constexpr std::byte kPoison{0xff};  // NaN in every floating dtype, -1 in integers

std::uint64_t seed_of(const std::string& name) {
  std::uint64_t hash = 14695981039346656037ull;  // FNV-1a
  for (unsigned char c : name) hash = (hash ^ c) * 1099511628211ull;
  return hash;
}

ValueType type_of(const SampleInput& input, DType dtype) {
  switch (input.kind) {
    case SampleInput::Kind::activation:
    case SampleInput::Kind::weight:
      return {dtype, input.shape};
    case SampleInput::Kind::vector:
      return {DType::f32, input.shape};
    case SampleInput::Kind::integers:
      return {DType::i32, input.shape};
  }
  return {};
}

std::vector<double> contents_of(const SampleInput& input, const ValueType& type,
                                const std::string& name) {
  if (!input.values.empty()) return input.values;
  const std::int64_t count = type.shape.numel();
  if (input.kind == SampleInput::Kind::integers) {
    const Rng rng(seed_of(name), 1);
    std::vector<double> values;
    const auto choices = static_cast<std::uint64_t>(input.high - input.low) + 1;
    for (std::int64_t i = 0; i < count; ++i)
      values.push_back(input.low +
                       static_cast<double>(rng.below(static_cast<std::uint64_t>(i), choices)));
    return values;
  }
  std::vector<double> values = normals(name, count);
  for (double& x : values) x = 0.5 * (input.low + input.high) + 0.5 * (input.high - input.low) * x;
  return values;
}

// A buffer with guard bytes behind it, 64-byte aligned as the planner's are.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(std::int64_t bytes)
      : bytes_(static_cast<size_t>(bytes)),
        data_(
            static_cast<std::byte*>(std::aligned_alloc(64, (bytes_ + kGuardBytes + 63) / 64 * 64)),
            std::free) {
    std::memset(data_.get(), static_cast<int>(kPoison), bytes_);
    std::memset(data_.get() + bytes_, static_cast<int>(kGuard), kGuardBytes);
  }
  std::byte* data() { return data_.get(); }
  std::vector<std::byte> contents() const { return {data_.get(), data_.get() + bytes_}; }
  bool intact() const {
    return std::all_of(data_.get() + bytes_, data_.get() + bytes_ + kGuardBytes,
                       [](std::byte b) { return b == kGuard; });
  }

 private:
  size_t bytes_;
  std::unique_ptr<std::byte, void (*)(void*)> data_;
};

double read(DType dtype, const std::byte* at) {
  auto as = [at]<class T>(T value) {
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  switch (dtype) {
    case DType::f64:
      return as(0.0);
    case DType::f32:
      return as(0.0f);
    case DType::bf16:
      return to_f32(as(bf16{}));
    case DType::f16:
      return to_f32(as(f16{}));
    case DType::i64:
      return static_cast<double>(as(std::int64_t{}));
    case DType::i32:
      return as(std::int32_t{});
    case DType::i16:
      return as(std::int16_t{});
    case DType::u8:
      return as(std::uint8_t{});
  }
  return 0.0;
}

void write(DType dtype, double value, std::byte* at) {
  auto put = [at](auto typed) { std::memcpy(at, &typed, sizeof typed); };
  switch (dtype) {
    case DType::f64:
      return put(value);
    case DType::f32:
      return put(static_cast<float>(value));
    case DType::bf16:
      return put(to_bf16(static_cast<float>(value)));
    case DType::f16:
      return put(to_f16(static_cast<float>(value)));
    case DType::i64:
      return put(static_cast<std::int64_t>(value));
    case DType::i32:
      return put(static_cast<std::int32_t>(value));
    case DType::i16:
      return put(static_cast<std::int16_t>(value));
    case DType::u8:
      return put(static_cast<std::uint8_t>(value));
  }
}

void write_all(DType dtype, const std::vector<double>& values, std::byte* to) {
  for (size_t i = 0; i < values.size(); ++i)
    write(dtype, values[i], to + i * static_cast<size_t>(size_of(dtype)));
}

double rms(const std::vector<double>& values) {
  double squares = 0;
  for (double x : values) squares += x * x;
  return values.empty() ? 0.0 : std::sqrt(squares / static_cast<double>(values.size()));
}

}  // namespace

std::vector<double> normals(const std::string& name, std::int64_t count) {
  const Rng rng(seed_of(name), 0);
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(rng.normal(static_cast<std::uint64_t>(i)));
  return values;
}

double rounded(DType dtype, double x) {
  std::byte bytes[8];
  write(dtype, x, bytes);
  return read(dtype, bytes);
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512, Isa::amx})
    if (isa <= best_isa()) isas.push_back(isa);
  return isas;
}

OneNodeGraph make_graph(const OpDef& op, const Sample& sample, DType dtype) {
  OneNodeGraph one;
  one.name = fmt::format("{} / {} / {}", op.name, sample.name, name_of(dtype));
  for (size_t i = 0; i < sample.inputs.size(); ++i) {
    const SampleInput& input = sample.inputs[i];
    const ValueType type = type_of(input, dtype);
    const std::string name = fmt::format("in{}", i);
    const bool parameter =
        input.kind == SampleInput::Kind::weight || input.kind == SampleInput::Kind::vector;
    const ValueId id =
        parameter ? one.graph.add_parameter(name, type) : one.graph.add_input(name, type);
    one.inputs.push_back(id);
    std::vector<double> values = contents_of(input, type, one.name + name);
    for (double& x : values) x = rounded(type.dtype, x);
    one.values[id] = std::move(values);
  }
  const auto outputs = one.graph.add_node(op, sample.attrs, one.inputs);
  one.graph.add_output("y", outputs[0]);
  return one;
}

bool is_differentiable(const OpDef& op, const OneNodeGraph& one, size_t input) {
  // rope: angles come from positions, so nothing could use their gradient.
  static const std::set<std::pair<std::string, size_t>> constants = {{"rope", 1}};
  return is_float(one.graph.type(one.inputs[input]).dtype) && !constants.count({op.name, input});
}

bool NodeCase::accumulating(size_t output) const {
  return attrs.integer_or("accumulate", 0) != 0 && (op->accumulating_outputs >> output & 1u);
}

NodeCase make_case(const Graph& graph, const Node& node, const RefValues& values,
                   std::string name) {
  NodeCase result{std::move(name), node.op, node.attrs, {}, {}, {}, {}};
  for (ValueId id : node.inputs) {
    result.inputs.push_back(graph.type(id));
    std::vector<double> contents = values.at(id);
    for (double& x : contents) x = rounded(graph.type(id).dtype, x);
    result.values.push_back(std::move(contents));
  }
  for (ValueId id : node.outputs) {
    result.outputs.push_back(graph.type(id));
    result.old.push_back(
        normals(result.name + "old" + std::to_string(id), graph.type(id).shape.numel()));
    for (double& x : result.old.back()) x = rounded(graph.type(id).dtype, x);
  }
  return result;
}

std::vector<std::vector<double>> run_reference(const NodeCase& node) {
  std::vector<std::vector<double>> values = node.values, results;
  std::vector<RefTensor> inputs, outputs;
  for (size_t i = 0; i < values.size(); ++i) inputs.push_back({node.inputs[i].shape, values[i]});
  for (size_t i = 0; i < node.outputs.size(); ++i)
    results.push_back(node.accumulating(i) ? node.old[i]
                                           : std::vector<double>(node.old[i].size(), 0.0));
  for (size_t i = 0; i < results.size(); ++i)
    outputs.push_back({node.outputs[i].shape, results[i]});
  node.op->reference(node.attrs, inputs, outputs);
  return results;
}

std::vector<std::vector<double>> error_bounds(const NodeCase& node,
                                              const std::vector<std::vector<double>>& want) {
  constexpr int kDraws = 4;
  constexpr double kStep = 0x1p-20;
  constexpr double kSmallest = 1e-37;  // below the normal numbers of f32 there is no relative error
  double epsilon = 0;
  for (const auto* types : {&node.inputs, &node.outputs})
    for (const ValueType& type : *types) epsilon = std::max(epsilon, epsilon_of(type.dtype));
  std::vector<std::vector<double>> sensitivity;
  for (const auto& output : want) sensitivity.emplace_back(output.size(), 0.0);
  for (int draw = 0; draw < kDraws; ++draw) {
    NodeCase moved = node;
    for (size_t i = 0; i < moved.values.size(); ++i) {
      if (!is_float(moved.inputs[i].dtype)) continue;
      const auto signs = normals(fmt::format("{}moved{}.{}", node.name, draw, i),
                                 static_cast<std::int64_t>(moved.values[i].size()));
      for (size_t k = 0; k < signs.size(); ++k)
        moved.values[i][k] *= 1.0 + (signs[k] < 0 ? -kStep : kStep);
    }
    const auto results = run_reference(moved);
    for (size_t i = 0; i < want.size(); ++i)
      for (size_t k = 0; k < want[i].size(); ++k)
        sensitivity[i][k] =
            std::max(sensitivity[i][k], std::abs(results[i][k] - want[i][k]) / kStep);
  }
  std::vector<std::vector<double>> bounds;
  for (size_t i = 0; i < want.size(); ++i) {
    const double typical = rms(want[i]) + 2 * rms(sensitivity[i]);
    bounds.emplace_back();
    for (size_t k = 0; k < want[i].size(); ++k)
      bounds[i].push_back(kSmallest + node.op->tolerance_factor * epsilon *
                                          (std::abs(want[i][k]) + 2 * sensitivity[i][k] + typical));
  }
  return bounds;
}

LaunchResult launch(const Kernel& kernel, const NodeCase& node) {
  std::vector<GuardedBuffer> inputs, outputs;
  std::vector<const void*> input_data;
  std::vector<void*> output_data;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    inputs.emplace_back(node.inputs[i].bytes());
    write_all(node.inputs[i].dtype, node.values[i], inputs.back().data());
    input_data.push_back(inputs.back().data());
  }
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    outputs.emplace_back(node.outputs[i].bytes());
    if (node.accumulating(i)) write_all(node.outputs[i].dtype, node.old[i], outputs.back().data());
    output_data.push_back(outputs.back().data());
  }
  GuardedBuffer workspace(kernel.workspace_bytes());
  const Status status = kernel.launch({input_data, output_data, workspace.data()});
  LaunchResult result;
  if (!status.ok()) result.failure = status.message();
  for (auto& output : outputs) {
    result.outputs.push_back(output.contents());
    if (!output.intact()) result.failure = "wrote behind an output";
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    GuardedBuffer untouched(node.inputs[i].bytes());
    write_all(node.inputs[i].dtype, node.values[i], untouched.data());
    if (inputs[i].contents() != untouched.contents()) result.failure = "changed an input";
  }
  if (!workspace.intact()) result.failure = "wrote behind its workspace";
  return result;
}

std::string compare(const NodeCase& node, const LaunchResult& got,
                    const std::vector<std::vector<double>>& want,
                    const std::vector<std::vector<double>>& bounds) {
  if (!got.failure.empty()) return got.failure;
  double worst = 0;
  std::string text;
  for (size_t i = 0; i < want.size(); ++i) {
    const DType dtype = node.outputs[i].dtype;
    const auto size = static_cast<size_t>(size_of(dtype));
    if (got.outputs[i].size() != want[i].size() * size) return "an output has another size";
    for (size_t k = 0; k < want[i].size(); ++k) {
      const double value = read(dtype, got.outputs[i].data() + k * size);
      const double ratio = std::abs(value - want[i][k]) / bounds[i][k];
      if (ratio <= 1.0 || ratio <= worst) continue;  // NaN is neither
      worst = std::isnan(ratio) ? INFINITY : ratio;
      text = fmt::format("output {} element {}: got {:.9g}, expected {:.9g}, bound {:.3g}", i, k,
                         value, want[i][k], bounds[i][k]);
    }
  }
  return text;
}

}  // namespace outsize::testing
