#include "ops/rope_table/rope_table.h"

#include <cmath>

#include "core/error.h"
#include "ops/rope_table/rope_table_cpu.h"

namespace outsize {
namespace {

std::vector<ValueType> infer(const Attrs& attrs, std::span<const ValueType> inputs) {
  if (inputs.size() != 1 || inputs[0].dtype != DType::i32 || inputs[0].shape.ndim() != 1)
    fail(ErrorKind::InvalidArgument, "[rope_table] positions; got {}; expected i32 [N]",
         inputs.size() == 1 ? to_string(inputs[0]) : "another count of inputs");
  const auto count = static_cast<std::int64_t>(attrs.list("frequencies").size());
  if (count == 0)
    fail(ErrorKind::InvalidArgument, "[rope_table] frequencies; got none; expected K/2 of them");
  return {{DType::f32, {inputs[0].shape[0], 2 * count}}};
}

void reference(const Attrs& attrs, std::span<const RefTensor> inputs,
               std::span<const RefTensor> outputs) {
  const std::vector<double>& frequencies = attrs.list("frequencies");
  const size_t half = frequencies.size();
  for (size_t n = 0; n < inputs[0].data.size(); ++n)
    for (size_t i = 0; i < half; ++i) {
      const double angle = inputs[0].data[n] * frequencies[i];
      outputs[0].data[2 * half * n + i] = attrs.real("scale") * std::cos(angle);
      outputs[0].data[2 * half * n + half + i] = attrs.real("scale") * std::sin(angle);
    }
}

// About 40 operations per sine and cosine.
Cost cost(const KernelQuery& query) {
  return {40.0 * static_cast<double>(query.outputs[0].shape.numel()),
          static_cast<double>(query.inputs[0].bytes()),
          static_cast<double>(query.outputs[0].bytes())};
}

std::vector<Sample> samples() {
  using Kind = SampleInput::Kind;
  auto sample = [](std::string name, std::vector<double> frequencies, double scale,
                   std::vector<double> positions) {
    const Shape shape{static_cast<std::int64_t>(positions.size())};
    return Sample{std::move(name),
                  {{"frequencies", std::move(frequencies)}, {"scale", scale}},
                  {{Kind::integers, shape, 0.0, 0.0, std::move(positions)}}};
  };
  return {sample("no position", {1.0}, 1.0, {}), sample("one", {1.0}, 1.0, {3}),
          sample("restarts", {1.0, 0.1, 0.01}, 1.0, {0, 1, 2, 3, 0, 1, 0, 0, 1, 2}),
          sample("far", {1.0, 0.8660254, 0.31, 1e-6}, 1.25, {131071, 1048575, 2147483647, 0})};
}

std::vector<BadSample> bad_samples() {
  const Attrs good{{"frequencies", std::vector<double>{1.0}}, {"scale", 1.0}};
  const Attrs empty{{"frequencies", std::vector<double>{}}, {"scale", 1.0}};
  return {{good, {{DType::f32, {2}}}, "positions"},
          {good, {{DType::i32, {2, 2}}}, "positions"},
          {good, {}, "positions"},
          {empty, {{DType::i32, {2}}}, "frequencies"}};
}

}  // namespace

const OpDef& rope_table_op() {
  static const OpDef op = {.name = "rope_table",
                           .infer = infer,
                           .reference = reference,
                           .cost = cost,
                           .kernels = rope_table_kernels(),
                           .samples = samples,
                           .bad_samples = bad_samples};
  return op;
}

ValueId rope_table(Graph& graph, ValueId positions, std::vector<double> frequencies, double scale) {
  return graph.add(rope_table_op(), {{"frequencies", std::move(frequencies)}, {"scale", scale}},
                   {positions});
}

}  // namespace outsize
