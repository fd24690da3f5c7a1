// Damaged config.json files: typed errors only, and whatever is accepted can be built and counted
// without overflow.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/rng.h"
#include "models/model.h"

namespace outsize {
namespace {

const char* const kConfigs[] = {
    R"({"model_type":"gpt2","n_layer":2,"n_embd":32,"n_head":4,"vocab_size":61,"n_positions":64})",
    R"({"model_type":"llama","hidden_size":32,"intermediate_size":48,"num_hidden_layers":2,)"
    R"("num_attention_heads":4,"num_key_value_heads":2,"vocab_size":61,"rms_norm_eps":1e-5,)"
    R"("rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,)"
    R"("high_freq_factor":4.0,"original_max_position_embeddings":64}})",
    R"({"model_type":"qwen2","hidden_size":32,"intermediate_size":48,"num_hidden_layers":3,)"
    R"("num_attention_heads":4,"num_key_value_heads":1,"vocab_size":61,"use_sliding_window":true,)"
    R"("sliding_window":8,"max_window_layers":1,"tie_word_embeddings":true})",
    R"({"model_type":"gemma3_text","hidden_size":32,"intermediate_size":48,"num_hidden_layers":2,)"
    R"("num_attention_heads":4,"num_key_value_heads":1,"head_dim":16,"vocab_size":61,)"
    R"("sliding_window":8,"layer_types":["sliding_attention","full_attention"],)"
    R"("rope_parameters":{"full_attention":{"rope_theta":1e6},"sliding_attention":{}}})",
};

const char* const kValues[] = {"0",
                               "-1",
                               "1",
                               "2",
                               "3",
                               "7",
                               "4096",
                               "16777217",
                               "2147483648",
                               "9223372036854775807",
                               "-9223372036854775808",
                               "1e308",
                               "0.5",
                               "null",
                               "true",
                               "\"x\"",
                               "[]",
                               "{}",
                               "[1,2]",
                               "1e-400"};

// Replaces one number, or damages a few bytes.
std::string mutate(const std::string& text, const Rng& rng, std::uint64_t& counter) {
  auto below = [&](std::uint64_t n) { return rng.below(counter++, n); };
  std::string mutated = text;
  if (below(3) > 0) {
    const auto digit = mutated.find_first_of("0123456789", below(mutated.size()));
    if (digit == std::string::npos) return mutated;
    const auto end = mutated.find_first_not_of("0123456789.e-", digit);
    return mutated.replace(digit, end - digit, kValues[below(std::size(kValues))]);
  }
  for (std::uint64_t edits = 1 + below(4); edits > 0 && !mutated.empty(); --edits) {
    const std::size_t at = below(mutated.size());
    if (below(2) == 0)
      mutated.erase(at, 1 + below(8));
    else
      mutated[at] = static_cast<char>(below(256));
  }
  return mutated;
}

// What the planner will add up must fit 63 bits with room for optimizer state and gradients.
void expect_countable(const Model& model) {
  const ModelInfo info = model.info();
  if (info.layers > 64) return;  // builds, but slowly
  const Program program = model.program(
      {.mode = BuildOptions::Mode::training, .tokens = 4, .row_length = 4, .dtype = DType::f32});
  double bytes = 0;
  for (const ProgramParameter& parameter : program.parameters)
    bytes += 16.0 * static_cast<double>(parameter.type.shape.numel());
  EXPECT_LT(bytes * static_cast<double>(10'000) / static_cast<double>(info.layers), 9.2e18);
  EXPECT_EQ(model.weights().size(), program.parameters.size());
}

TEST(ConfigFuzz, TypedErrorsOnly) {
  constexpr int kMutations = 12'000;
  int accepted = 0, refused = 0;
  for (int i = 0; i < kMutations; ++i) {
    const Rng rng(20261121, static_cast<std::uint64_t>(i));
    std::uint64_t counter = 0;
    const std::string text = mutate(kConfigs[i % std::size(kConfigs)], rng, counter);
    SCOPED_TRACE(text);
    try {
      const auto model = model_from_hf_config(parse_json(text, "config.json"), "config.json");
      ++accepted;
      expect_countable(*model);
    } catch (const Error& error) {
      ++refused;
      EXPECT_NE(error.kind(), ErrorKind::Internal) << error.what();
    }
    if (HasFailure()) FAIL() << "mutation " << i;
  }
  EXPECT_GT(accepted, 100);
  EXPECT_GT(refused, 1000);
  RecordProperty("accepted", accepted);
}

TEST(ConfigFuzz, UndamagedConfigsAreAccepted) {
  for (const char* text : kConfigs)
    EXPECT_NO_THROW(model_from_hf_config(parse_json(text, "config.json"), "config.json")) << text;
}

}  // namespace
}  // namespace outsize
