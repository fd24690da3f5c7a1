// Runs a model forward over a key/value cache: logits of given tokens, and text that continues a
// prompt. Prompts are taken in chunks of a few fixed sizes, each a program of its own over the same
// weights and cache.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "exec/executor.h"
#include "models/model.h"
#include "weights/weight_reader.h"

namespace outsize {

struct GeneratorShape {
  std::int64_t context = 0;  // most tokens held, prompt and continuation together
  DType dtype = DType::bf16;
  bool all_logits = false;  // logits of every token, not only of the last
};

class Generator {
 public:
  // Throws OutOfMemory as make_plan when the plan exceeds `budget_bytes` (0: none).
  Generator(const Model& model, const GeneratorShape& shape, std::int64_t budget_bytes);

  void load(const WeightReader& reader);
  std::int64_t arena_bytes() const { return arena_bytes_; }
  const Plan& plan() const { return chunks_.front().executor->plan(); }
  std::int64_t vocabulary() const { return vocabulary_; }
  // What runs a single token; it has times once one has been appended by itself.
  const Executor& decoder() const { return *chunks_.back().executor; }

  // Forgets the text so far.
  void reset() { past_ = 0; }
  std::int64_t past() const { return past_; }
  // Appends tokens. `take(first, count, logits)` gets f32 logits [count,V] of tokens first … in
  // order: of all of them with all_logits, else only of the last. Throws InvalidArgument when the
  // context is full or an id is out of range.
  using TakeLogits =
      std::function<void(std::int64_t first, std::int64_t count, const float* logits)>;
  void append(std::span<const std::int32_t> tokens, const TakeLogits& take);

 private:
  struct Chunk {
    std::int64_t tokens = 0;
    std::unique_ptr<Program> program;
    std::unique_ptr<CompiledProgram> compiled;
    std::unique_ptr<Executor> executor;
  };

  const Chunk& chunk_for(std::int64_t left) const;
  void run_chunk(const Chunk& chunk, std::span<const std::int32_t> tokens);

  const Model& model_;
  GeneratorShape shape_;
  std::int64_t vocabulary_ = 0, arena_bytes_ = 0, past_ = 0;
  std::vector<Chunk> chunks_;  // largest first
};

struct SamplingOptions {
  double temperature = 0;  // 0: the most likely token
  std::int64_t top_k = 0;  // 0: all
  double top_p = 1;
  std::uint64_t seed = 0;
};

// Draws token number `position` of a text: a function of logits, options and position alone. Ties
// go to the smaller id.
std::int32_t sample(std::span<const float> logits, const SamplingOptions& options,
                    std::int64_t position);

}  // namespace outsize
