// Fills parameter memory from a reader, or with random values.
#pragma once

#include <cstdint>
#include <functional>

#include "graph/program.h"
#include "models/model.h"
#include "weights/weight_reader.h"

namespace outsize {

// Where a parameter's master lives: f32 at weight, or bf16 with its low half (null: rounded away).
struct MasterMemory {
  void* weight = nullptr;
  std::int16_t* low = nullptr;
};
using MasterOf = std::function<MasterMemory(int parameter)>;

// Where weights go.
struct WeightSink {
  // Takes `count` f32 values from element `first` of a parameter on; in order, without gaps.
  std::function<void(int parameter, std::int64_t first, std::int64_t count, const float* values)>
      take;
  MasterOf memory;  // where they lie in RAM as a whole; empty: nowhere
  std::function<void(int parameter)> finish = {};  // all its values are there; may be empty
};

// Stores what comes in memory.
WeightSink sink_to_memory(const Program& program, const MasterOf& master);

// Stores `count` f32 values at element `first` of a parameter: bf16 is rounded as in training,
// which evaluation and generation must agree with to the bit.
void store_values(DType dtype, const MasterMemory& memory, std::int64_t first, const float* values,
                  std::int64_t count);

// Streams every parameter, in program order, through a transfer buffer.
void load_weights(const Program& program, const Model& model, const WeightReader& reader,
                  const WeightSink& sink);

// Matrices normal with the model's deviation, norm weights neutral, biases zero; element i of
// parameter p depends on (seed, p, i) alone.
void randomise_weights(const Program& program, const Model& model, std::uint64_t seed,
                       const WeightSink& sink);

}  // namespace outsize
