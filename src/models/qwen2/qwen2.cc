// Qwen2 and Qwen2.5 (Yang et al. 2024): Llama's block with biases on q, k and v.
#include "core/error.h"
#include "models/family.h"
#include "models/rotary_decoder.h"

namespace outsize {
namespace {

RotaryDecoderConfig named(RotaryDecoderConfig c) {
  c.family = "qwen2";
  c.hf_architecture = "Qwen2ForCausalLM";
  c.gguf_architecture = "qwen2";
  c.qkv_bias = true;  // no field says so
  return c;
}

std::unique_ptr<Model> from_hf(const JsonFields& config) {
  RotaryDecoderConfig c = named(read_rotary_decoder(config));
  if (config.boolean_or("use_sliding_window", false)) {
    c.window = config.integer("sliding_window", 1);
    c.first_window_layer = config.integer_or("max_window_layers", 28, 0);
  }
  return make_rotary_decoder(std::move(c));
}

std::unique_ptr<Model> from_gguf(const GgufFile& file) {
  return make_rotary_decoder(named(read_rotary_decoder(file, "qwen2")));
}

}  // namespace

Family qwen2_family() {
  return {"qwen2", "qwen2", from_hf, from_gguf};
}

}  // namespace outsize
