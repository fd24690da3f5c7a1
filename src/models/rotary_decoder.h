// The decoder that Llama made common and many families vary: RMS norms before attention and a gated
// feed-forward, rotary positions, grouped-query heads. A family is a configuration of it.
#pragma once

#include "models/model.h"
#include "models/rope_config.h"

namespace outsize {

struct RotaryDecoderConfig {
  std::string family;             // model_type
  std::string hf_architecture;    // "LlamaForCausalLM"
  std::string gguf_architecture;  // "llama"
  std::int64_t layers = 0, width = 0, heads = 0, kv_heads = 0, head_dim = 0, feed_forward = 0;
  std::int64_t vocabulary = 0, context = 0;
  double eps = 1e-6;
  RopeConfig rope;
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  bool tied = false;
  std::int64_t window = 0;  // of the layers from first_window_layer on; 0: none
  std::int64_t first_window_layer = 0;
  bool gguf_interleaved = false;  // GGUF stores q and k with interleaved rotary halves
  double initializer_range = 0.02;
};

// Sizes and options that Hugging Face spells alike in this group of families; checks ranges and
// that heads divide. The family fills in the rest.
RotaryDecoderConfig read_rotary_decoder(const JsonFields& config);
RotaryDecoderConfig read_rotary_decoder(const GgufFile& file, const std::string& architecture);

std::unique_ptr<Model> make_rotary_decoder(RotaryDecoderConfig config);

}  // namespace outsize
