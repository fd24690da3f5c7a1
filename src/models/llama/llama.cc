// Llama 2 and 3 (Touvron et al. 2023; Llama Team 2024), and what else calls itself "llama".
#include "core/error.h"
#include "models/family.h"
#include "models/rotary_decoder.h"

namespace outsize {
namespace {

RotaryDecoderConfig named(RotaryDecoderConfig c) {
  c.family = "llama";
  c.hf_architecture = "LlamaForCausalLM";
  c.gguf_architecture = "llama";
  c.gguf_interleaved = true;
  return c;
}

std::unique_ptr<Model> from_hf(const JsonFields& config) {
  RotaryDecoderConfig c = named(read_rotary_decoder(config));
  c.qkv_bias = c.output_bias = config.boolean_or("attention_bias", false);
  c.mlp_bias = config.boolean_or("mlp_bias", false);
  return make_rotary_decoder(std::move(c));
}

std::unique_ptr<Model> from_gguf(const GgufFile& file) {
  RotaryDecoderConfig c = named(read_rotary_decoder(file, "llama"));
  // No field says whether there are biases: their tensors do.
  c.qkv_bias = file.find_tensor("blk.0.attn_q.bias") != nullptr;
  c.output_bias = file.find_tensor("blk.0.attn_output.bias") != nullptr;
  c.mlp_bias = file.find_tensor("blk.0.ffn_gate.bias") != nullptr;
  return make_rotary_decoder(std::move(c));
}

}  // namespace

Family llama_family() {
  return {"llama", "llama", from_hf, from_gguf};
}

}  // namespace outsize
