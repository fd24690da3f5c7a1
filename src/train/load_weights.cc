#include "train/load_weights.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "core/half.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "optim/master.h"

namespace outsize {
namespace {

// Stores `count` f32 values at element `first` of a parameter.
void store(DType dtype, const MasterMemory& memory, std::int64_t first, const float* values,
           std::int64_t count) {
  if (dtype == DType::f32) {
    std::memcpy(static_cast<float*>(memory.weight) + first, values, static_cast<size_t>(count) * 4);
    return;
  }
  bf16* weight = static_cast<bf16*>(memory.weight) + first;
  if (memory.low) {
    store_master(values, count, weight, memory.low + first);
    return;
  }
  // Rounded as in training, which evaluation and generation must agree with to the bit.
  constexpr std::int64_t kPiece = 1 << 16;
  std::vector<std::int16_t> rounded_away(static_cast<size_t>(std::min(count, kPiece)));
  for (std::int64_t i = 0; i < count; i += kPiece)
    store_master(values + i, std::min(kPiece, count - i), weight + i, rounded_away.data());
}

// Calls produce(row, rows, values) for pieces of a parameter and hands on what it wrote.
template <class F>
void fill(const Program& program, size_t p, const WeightSink& sink, std::vector<float>& buffer,
          F produce) {
  const Shape& shape = program.parameters[p].type.shape;
  const std::int64_t rows = row_count(shape), columns = column_count(shape);
  const std::int64_t step = transfer_rows(shape);
  for (std::int64_t row = 0; row < rows; row += step) {
    const std::int64_t count = std::min(step, rows - row);
    buffer.resize(static_cast<size_t>(count * columns));
    produce(row, count, buffer.data());
    sink(static_cast<int>(p), row * columns, count * columns, buffer.data());
  }
}

}  // namespace

WeightSink sink_to_memory(const Program& program, MasterOf master) {
  return [&program, master = std::move(master)](int p, std::int64_t first, std::int64_t count,
                                                const float* values) {
    store(program.parameters[static_cast<size_t>(p)].type.dtype, master(p), first, values, count);
  };
}

void load_weights(const Program& program, const Model& model, const WeightReader& reader,
                  const WeightSink& sink) {
  std::unordered_map<std::string, WeightSource> sources;
  for (const WeightSource& source : model.weights()) sources[source.parameter] = source;
  std::vector<float> buffer;
  for (size_t p = 0; p < program.parameters.size(); ++p) {
    const ProgramParameter& parameter = program.parameters[p];
    const auto source = sources.find(parameter.name);
    ensure(source != sources.end(), "[weights] parameter '{}' has no source", parameter.name);
    fill(program, p, sink, buffer, [&](std::int64_t row, std::int64_t rows, float* values) {
      reader.read(source->second, parameter.type.shape, row, rows, values);
    });
  }
}

void randomise_weights(const Program& program, const Model& model, std::uint64_t seed,
                       const WeightSink& sink) {
  constexpr std::uint64_t kStream = 0x77656967687473;  // apart from the data's streams
  const double deviation = model.initializer_range();
  std::unordered_map<std::string, WeightSource> sources;
  for (const WeightSource& source : model.weights()) sources[source.parameter] = source;
  std::vector<float> buffer;
  for (size_t p = 0; p < program.parameters.size(); ++p) {
    const ProgramParameter& parameter = program.parameters[p];
    const Rng rng(seed, kStream + p);
    const bool matrix = parameter.type.shape.ndim() == 2;
    const bool counts_from_one = sources.at(parameter.name).gguf_offset != 0;
    const bool bias = parameter.name.ends_with(".bias");
    const float neutral = bias || counts_from_one ? 0.0f : 1.0f;
    const std::int64_t columns = column_count(parameter.type.shape);
    fill(program, p, sink, buffer, [&](std::int64_t row, std::int64_t rows, float* values) {
      constexpr std::int64_t kGrain = 16384;
      parallel_for(rows * columns, kGrain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i)
          values[i] =
              matrix ? static_cast<float>(deviation *
                                          rng.normal(static_cast<std::uint64_t>(row * columns + i)))
                     : neutral;
      });
    });
  }
}

}  // namespace outsize
