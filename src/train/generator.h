// Runs a model forward over a key/value cache: logits of given tokens, and text that continues a
// prompt. Prompts are taken in chunks of a few fixed sizes, each a program of its own over the same
// weights and cache.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "models/model.h"
#include "train/forward_engine.h"
#include "train/token_rows.h"
#include "weights/weight_reader.h"

namespace outsize {

struct GeneratorShape {
  std::int64_t context = 0;  // most tokens held, prompt and continuation together
  DType dtype = DType::bf16;
  bool all_logits = false;  // logits of every token, not only of the last
};

class Generator {
 public:
  // Throws as ForwardEngine.
  Generator(const Model& model, const GeneratorShape& shape, const ForwardOptions& options);

  // Keeps the reader where rows of the embedding are looked up in it.
  void load(std::shared_ptr<const WeightReader> reader);
  std::int64_t arena_bytes() const { return engine_.arena_bytes(); }
  const ForwardEngine& engine() const { return engine_; }
  // Whether the embedding's table is not in RAM for its rows: they come from the model's own file.
  bool looks_up_rows() const;
  std::int64_t vocabulary() const { return vocabulary_; }
  // What runs the first chunk of a prompt of so many tokens; it has times once it has run.
  const Executor& first_of(std::int64_t tokens) const {
    return engine_.executor(program_for(tokens));
  }
  // What runs a single token; it has times once one has been appended by itself.
  const Executor& decoder() const { return engine_.executor(decoder_program()); }
  // Foretold for a single token; absent: the options had no machine.
  std::optional<double> token_seconds() const { return engine_.seconds(decoder_program()); }

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
  size_t decoder_program() const { return sizes_.size() - 1; }
  // Of the next chunk, where so many tokens are left.
  size_t program_for(std::int64_t left) const;
  void write_tokens(size_t program, std::span<const std::int32_t> tokens);
  void run_chunk(size_t program, std::span<const std::int32_t> tokens, bool is_last);

  const Model& model_;
  GeneratorShape shape_;
  std::int64_t vocabulary_ = 0, past_ = 0;
  std::vector<std::int64_t> sizes_;  // tokens of each program, largest first
  ForwardEngine engine_;
  std::optional<TokenRows> rows_;
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
