// What is exported is what was there: a model written as a Hugging Face folder or as GGUF and read
// back has the same logits to the bit, whatever its options; or writing or reading it is refused.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/rng.h"
#include "train/generator.h"
#include "weights/export.h"

namespace outsize::testing_models {
namespace {

// Values that follow from a parameter's name alone: norms near one, the rest small.
class MadeUpWeights : public WeightReader {
 public:
  void read(const WeightSource& source, const Shape& shape, std::int64_t first_row,
            std::int64_t rows, float* destination) const override {
    const Rng rng(std::hash<std::string>()(source.parameter), 0);
    const std::int64_t columns = column_count(shape), first = first_row * columns;
    const double center = shape.ndim() == 1 && source.gguf_offset == 0 ? 1.0 : 0.0;
    for (std::int64_t i = 0; i < rows * columns; ++i)
      destination[i] =
          static_cast<float>(center + 0.2 * rng.normal(static_cast<std::uint64_t>(first + i)));
  }
  void check(const WeightSource&, const Shape&) const override {}
};

struct Variant {
  const char* name;
  nlohmann::json config;
  bool gguf = true;  // whether GGUF can say it; if not, writing or reading must be refused
};

nlohmann::json llama_like(const char* family, const nlohmann::json& more) {
  nlohmann::json config = {{"model_type", family},
                           {"num_hidden_layers", 3},
                           {"hidden_size", 36},
                           {"intermediate_size", 44},
                           {"num_attention_heads", 6},
                           {"num_key_value_heads", 2},
                           {"head_dim", 8},
                           {"vocab_size", 61},
                           {"rms_norm_eps", 1e-5},
                           {"max_position_embeddings", 64},
                           {"rope_theta", 12345.0}};
  config.update(more);
  return config;
}

nlohmann::json gpt2_like(const nlohmann::json& more) {
  nlohmann::json config = {{"model_type", "gpt2"}, {"n_layer", 2},     {"n_embd", 36},
                           {"n_head", 6},          {"vocab_size", 61}, {"n_positions", 64}};
  config.update(more);
  return config;
}

std::vector<Variant> variants() {
  const nlohmann::json linear = {{"rope_type", "linear"}, {"rope_theta", 5e4}, {"factor", 4.0}};
  const nlohmann::json llama3 = {
      {"rope_type", "llama3"},   {"rope_theta", 5e5},
      {"factor", 8.0},           {"low_freq_factor", 1.0},
      {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 16}};
  const nlohmann::json plain = {{"rope_type", "default"}, {"rope_theta", 1e4}};
  const std::vector<std::string> usual = {"sliding_attention", "sliding_attention",
                                          "full_attention"};
  return {
      {"gpt2", gpt2_like({{"tie_word_embeddings", true}})},
      {"gpt2_untied_wide", gpt2_like({{"tie_word_embeddings", false}, {"n_inner", 50}})},
      {"llama", llama_like("llama", nlohmann::json::object())},
      {"llama_tied", llama_like("llama", {{"tie_word_embeddings", true}})},
      {"llama_biases", llama_like("llama", {{"attention_bias", true}, {"mlp_bias", true}})},
      {"llama_linear", llama_like("llama", {{"rope_parameters", linear}})},
      {"llama_llama3", llama_like("llama", {{"rope_parameters", llama3}}), false},
      {"qwen2", llama_like("qwen2", {{"tie_word_embeddings", true}})},
      {"qwen2_linear", llama_like("qwen2", {{"rope_parameters", linear}})},
      {"qwen2_window",
       llama_like("qwen2",
                  {{"use_sliding_window", true}, {"sliding_window", 5}, {"max_window_layers", 1}}),
       false},
      {"gemma3",
       llama_like("gemma3_text",
                  {{"num_hidden_layers", 7}, {"sliding_window", 5}, {"query_pre_attn_scalar", 8}})},
      {"gemma3_linear",
       llama_like("gemma3_text", {{"num_hidden_layers", 7},
                                  {"sliding_window", 5},
                                  {"query_pre_attn_scalar", 8},
                                  {"rope_parameters",
                                   {{"full_attention", linear}, {"sliding_attention", plain}}}})},
      {"gemma3_other_scale", llama_like("gemma3_text", {{"query_pre_attn_scalar", 12.5}}), false},
      {"gemma3_other_pattern",
       llama_like("gemma3_text", {{"layer_types", usual}, {"query_pre_attn_scalar", 8}}), false},
      {"gemma3_other_local_rope",
       llama_like("gemma3_text", {{"query_pre_attn_scalar", 8}, {"rope_local_base_freq", 777.0}})},
  };
}

std::vector<float> logits(const Model& model, std::shared_ptr<const WeightReader> weights) {
  Generator generator(model, {.context = 24, .dtype = DType::f32, .all_logits = true}, {});
  generator.load(std::move(weights));
  std::vector<std::int32_t> tokens;
  for (int i = 0; i < 24; ++i) tokens.push_back(i * 7 % 61);
  std::vector<float> all;
  generator.append(tokens, [&](std::int64_t, std::int64_t rows, const float* values) {
    all.insert(all.end(), values, values + rows * generator.vocabulary());
  });
  return all;
}

class ExportTest : public testing::TestWithParam<Variant> {
 protected:
  ExportTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "outsize-export-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    model_ = model_from_hf_config(GetParam().config, "config.json");
    expected_ = logits(*model_, std::make_shared<MadeUpWeights>());
  }
  ~ExportTest() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
  MadeUpWeights weights_;
  std::unique_ptr<Model> model_;
  std::vector<float> expected_;
};

TEST_P(ExportTest, HuggingFaceFolder) {
  write_hf_weights(*model_, weights_, DType::f32, folder_);
  std::ofstream(folder_ + "/config.json") << model_->hf_config().dump();
  EXPECT_EQ(logits(*open_model(folder_), open_hf_weights(folder_)), expected_);
}

TEST_P(ExportTest, Gguf) {
  const std::string file = folder_ + "/model.gguf";
  try {
    write_gguf(*model_, weights_, "f32", {}, file);
    const auto read = open_model(file);
    EXPECT_EQ(logits(*read, open_gguf_weights(file)), expected_);
    EXPECT_TRUE(GetParam().gguf) << "said to be impossible";
  } catch (const Error& error) {
    EXPECT_FALSE(GetParam().gguf) << error.what();
    EXPECT_EQ(error.kind(), ErrorKind::Unsupported) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, ExportTest, testing::ValuesIn(variants()),
                         [](const auto& variant) { return std::string(variant.param.name); });

// ---- What a config can say and this system does not do must be refused
// ---------------------------

TEST(ConfigTest, RefusesWhatWouldBeComputedWrong) {
  const nlohmann::json window = {
      {"use_sliding_window", true}, {"sliding_window", 5}, {"max_window_layers", 1}};
  auto with = [](nlohmann::json base, const nlohmann::json& more) {
    base.update(more);
    return base;
  };
  const std::vector<nlohmann::json> configs = {
      gpt2_like({{"scale_attn_weights", false}}),
      gpt2_like({{"scale_attn_by_inverse_layer_idx", true}}),
      gpt2_like({{"add_cross_attention", true}}),
      gpt2_like({{"activation_function", "relu"}}),
      llama_like("llama", {{"hidden_act", "gelu"}}),
      llama_like("llama", {{"rope_parameters", {{"rope_type", "yarn"}, {"factor", 2.0}}}}),
      llama_like("llama", {{"partial_rotary_factor", 0.5}}),
      llama_like("qwen2",
                 with(window, {{"layer_types",
                                {"sliding_attention", "full_attention", "sliding_attention"}}})),
      llama_like("gemma3_text", {{"attn_logit_softcapping", 50.0}}),
      llama_like("gemma3_text", {{"use_bidirectional_attention", true}}),
  };
  for (const nlohmann::json& config : configs) {
    try {
      model_from_hf_config(config, "config.json");
      ADD_FAILURE() << "accepted: " << config;
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::InvalidArgument ||
                  error.kind() == ErrorKind::Unsupported)
          << error.what();
    }
  }
  EXPECT_NO_THROW(model_from_hf_config(
      llama_like("qwen2",
                 with(window, {{"layer_types",
                                {"full_attention", "sliding_attention", "sliding_attention"}}})),
      "config.json"));
  EXPECT_NO_THROW(model_from_hf_config(gpt2_like({{"scale_attn_weights", true}}), "config.json"));
}

}  // namespace
}  // namespace outsize::testing_models
