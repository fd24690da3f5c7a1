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

// Newer files list every layer's kind as well, and transformers goes by the list.
void check_layer_types(const RotaryDecoderConfig& c, const JsonFields& config) {
  const auto types = config.texts("layer_types");
  if (types.empty()) return;
  for (std::int64_t layer = 0; layer < c.layers; ++layer) {
    const bool windowed = c.window > 0 && layer >= c.first_window_layer;
    const char* expected = windowed ? "sliding_attention" : "full_attention";
    if (static_cast<std::int64_t>(types.size()) != c.layers ||
        types[static_cast<size_t>(layer)] != expected)
      config.fail_field("layer_types",
                        "is not what use_sliding_window and max_window_layers say; only layers "
                        "from max_window_layers on may slide");
  }
}

std::unique_ptr<Model> from_hf(const JsonFields& config) {
  RotaryDecoderConfig c = named(read_rotary_decoder(config));
  if (config.boolean_or("use_sliding_window", false)) {
    c.window = config.integer("sliding_window", 1);
    c.first_window_layer = config.integer_or("max_window_layers", 28, 0);
  }
  check_layer_types(c, config);
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
