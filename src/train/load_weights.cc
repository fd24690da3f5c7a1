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
    sink.take(static_cast<int>(p), row * columns, count * columns, buffer.data());
  }
}

// A master that equals its bf16 weight has a low half of zeros. Memory that nothing has written yet
// is zero without taking pages, so it is looked at first.
void clear_low(std::int16_t* low, std::int64_t count) {
  constexpr std::int64_t kGrain = 1 << 15;
  parallel_for(count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    std::int16_t any = 0;
    for (std::int64_t i = begin; i < end; ++i) any |= low[i];
    if (any != 0) std::memset(low + begin, 0, static_cast<size_t>(end - begin) * sizeof *low);
  });
}

// bf16 that is stored as bf16 goes from the file to its place.
bool load_as_stored(const ProgramParameter& parameter, const MasterMemory& memory,
                    const WeightReader& reader, const WeightSource& source) {
  if (parameter.type.dtype != DType::bf16 ||
      !reader.read_bf16(source, parameter.type.shape, static_cast<bf16*>(memory.weight)))
    return false;
  if (memory.low) clear_low(memory.low, parameter.type.shape.numel());
  return true;
}

}  // namespace

void store_values(DType dtype, const MasterMemory& memory, std::int64_t first, const float* values,
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
  constexpr std::int64_t kPiece = 1 << 16;
  std::vector<std::int16_t> rounded_away(static_cast<size_t>(std::min(count, kPiece)));
  for (std::int64_t i = 0; i < count; i += kPiece)
    store_master(values + i, std::min(kPiece, count - i), weight + i, rounded_away.data());
}

WeightSink sink_to_memory(const Program& program, const MasterOf& master) {
  const auto take = [&program, master](int p, std::int64_t first, std::int64_t count,
                                       const float* values) {
    store_values(program.parameters[static_cast<size_t>(p)].type.dtype, master(p), first, values,
                 count);
  };
  return {take, master, {}};
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
    if (!sink.memory ||
        !load_as_stored(parameter, sink.memory(static_cast<int>(p)), reader, source->second))
      fill(program, p, sink, buffer, [&](std::int64_t row, std::int64_t rows, float* values) {
        reader.read(source->second, parameter.type.shape, row, rows, values);
      });
    if (sink.finish) sink.finish(static_cast<int>(p));
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
    if (sink.finish) sink.finish(static_cast<int>(p));
  }
}

}  // namespace outsize
