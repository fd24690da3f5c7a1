// What the inference commands do: evaluate, write logits, generate. MODEL as in
// train/model_source.h.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "train/generator.h"
#include "train/residence.h"

namespace outsize {

struct EvalOptions {
  std::string model, dtype = "f32";
  std::vector<std::string> files;
  std::int64_t sequence_length = 512, rows = 0;
  ResidenceOptions residence;
  bool json = false;
};

// Text of one line: loss in nats per target token, perplexity, target tokens, seconds.
std::string evaluate_model(const EvalOptions& options);

struct LogitsOptions {
  std::string model, tokens, out, dtype = "f32";
  ResidenceOptions residence;
};

// Writes f32 [tokens, vocabulary]. Throws InvalidArgument for ids that are none.
void write_logits(const LogitsOptions& options);

struct GenerateOptions {
  std::string model, prompt, prompts_file, dtype = "bf16";
  std::int64_t max_new_tokens = 64;
  SamplingOptions sampling;
  ResidenceOptions residence;
  bool json = false;
};

// Streams the text as it comes; with `json` one object per prompt at its end: prompt, completion,
// tokens, prompt_tokens, seconds, stopped ("end" or "length").
void generate_text(const GenerateOptions& options,
                   const std::function<void(std::string_view)>& write);

}  // namespace outsize
