#include "models/rotary_decoder.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "models/limits.h"
#include "ops/add/add.h"

namespace outsize {
namespace {

void check(const RotaryDecoderConfig& c, const std::string& file) {
  check_heads(c.heads, c.head_dim, file);
  if (c.heads % c.kv_heads != 0)
    fail(ErrorKind::InvalidArgument,
         "[model] {}: query heads are not a multiple of key/value heads; got {} and {}", file,
         c.heads, c.kv_heads);
  if (c.head_dim % 2 != 0)
    fail(ErrorKind::InvalidArgument, "[model] {}: head_dim is odd; got {}; expected an even number",
         file, c.head_dim);
  if (!(c.eps > 0))
    fail(ErrorKind::InvalidArgument, "[model] {}: rms_norm_eps must be positive; got {}", file,
         c.eps);
}

class RotaryDecoder : public Model {
 public:
  explicit RotaryDecoder(RotaryDecoderConfig config) : c_(std::move(config)) {}

  ModelInfo info() const override {
    return {c_.family,
            c_.layers,
            c_.width,
            c_.vocabulary,
            c_.context,
            c_.tied,
            "model.embed_tokens.weight"};
  }
  double initializer_range() const override { return c_.initializer_range; }

  DecoderParts parts() const override {
    DecoderParts parts;
    parts.width = c_.width;
    parts.vocabulary = c_.vocabulary;
    parts.rope_frequencies = {rope_frequencies(c_.rope, c_.head_dim)};
    for (std::int64_t layer = 0; layer < c_.layers; ++layer)
      parts.layer_kinds.push_back(c_.window > 0 && layer >= c_.first_window_layer ? 1 : 0);
    parts.layer_prefix = "model.layers.";
    parts.head_weight = c_.tied ? "model.embed_tokens.weight" : "lm_head.weight";
    parts.embed = [c = c_](SegmentBuilder& b) {
      return b.embed_tokens("model.embed_tokens.weight", c.vocabulary, c.width);
    };
    parts.block = [c = c_](SegmentBuilder& b, int kind, ValueId x) { return block(c, b, kind, x); };
    parts.final_norm = [c = c_](SegmentBuilder& b, ValueId x) {
      return b.rms_norm("model.norm", x, c.eps);
    };
    return parts;
  }

  std::vector<WeightSource> weights() const override;
  nlohmann::json hf_config() const override;
  GgufMetadata gguf_metadata() const override;
  std::vector<GgufExtraTensor> gguf_extra_tensors() const override;

 private:
  static ValueId block(const RotaryDecoderConfig& c, SegmentBuilder& b, int kind, ValueId x) {
    const ValueId h = b.rms_norm("input_layernorm", x, c.eps);
    const std::int64_t kv_width = c.kv_heads * c.head_dim;
    const ValueId q = b.linear("self_attn.q_proj", h, c.heads * c.head_dim, c.qkv_bias);
    const ValueId k = b.linear("self_attn.k_proj", h, kv_width, c.qkv_bias);
    const ValueId v = b.linear("self_attn.v_proj", h, kv_width, c.qkv_bias);
    const AttentionOptions options{.heads = c.heads,
                                   .kv_heads = c.kv_heads,
                                   .head_dim = c.head_dim,
                                   .scale = 1.0 / std::sqrt(static_cast<double>(c.head_dim)),
                                   .window = kind == 1 ? c.window : 0};
    const ValueId attended =
        b.attend(b.rope(q, 0, c.head_dim), b.rope(k, 0, c.head_dim), v, options);
    x = add(b.graph(), x, b.linear("self_attn.o_proj", attended, c.width, c.output_bias));
    const ValueId normed = b.rms_norm("post_attention_layernorm", x, c.eps);
    return add(b.graph(), x,
               b.gated_mlp("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", normed, c.feed_forward,
                           ActivationKind::silu, c.mlp_bias));
  }

  RotaryDecoderConfig c_;
};

std::vector<WeightSource> RotaryDecoder::weights() const {
  std::vector<WeightSource> list;
  auto add_source = [&](const std::string& name, const std::string& gguf, std::int64_t heads = 0) {
    list.push_back({.parameter = name,
                    .hf_name = name,
                    .gguf_name = gguf,
                    .gguf_interleaved_heads = c_.gguf_interleaved ? heads : 0});
  };
  add_source("model.embed_tokens.weight", "token_embd.weight");
  for (std::int64_t i = 0; i < c_.layers; ++i) {
    const std::string hf = fmt::format("model.layers.{}.", i), gguf = fmt::format("blk.{}.", i);
    auto pair = [&](const char* module, const char* tensor, bool bias, std::int64_t heads = 0) {
      add_source(hf + module + ".weight", gguf + tensor + ".weight", heads);
      if (bias) add_source(hf + module + ".bias", gguf + tensor + ".bias", heads);
    };
    pair("input_layernorm", "attn_norm", false);
    pair("self_attn.q_proj", "attn_q", c_.qkv_bias, c_.heads);
    pair("self_attn.k_proj", "attn_k", c_.qkv_bias, c_.kv_heads);
    pair("self_attn.v_proj", "attn_v", c_.qkv_bias);
    pair("self_attn.o_proj", "attn_output", c_.output_bias);
    pair("post_attention_layernorm", "ffn_norm", false);
    pair("mlp.gate_proj", "ffn_gate", c_.mlp_bias);
    pair("mlp.up_proj", "ffn_up", c_.mlp_bias);
    pair("mlp.down_proj", "ffn_down", c_.mlp_bias);
  }
  add_source("model.norm.weight", "output_norm.weight");
  if (!c_.tied) add_source("lm_head.weight", "output.weight");
  return list;
}

nlohmann::json RotaryDecoder::hf_config() const {
  nlohmann::json json = {{"architectures", {c_.hf_architecture}},
                         {"model_type", c_.family},
                         {"hidden_size", c_.width},
                         {"intermediate_size", c_.feed_forward},
                         {"num_hidden_layers", c_.layers},
                         {"num_attention_heads", c_.heads},
                         {"num_key_value_heads", c_.kv_heads},
                         {"head_dim", c_.head_dim},
                         {"vocab_size", c_.vocabulary},
                         {"max_position_embeddings", c_.context},
                         {"rms_norm_eps", c_.eps},
                         {"hidden_act", "silu"},
                         {"rope_theta", c_.rope.theta},
                         {"rope_parameters", to_json(c_.rope)},
                         {"tie_word_embeddings", c_.tied},
                         {"initializer_range", c_.initializer_range}};
  if (c_.rope.type != "default") json["rope_scaling"] = to_json(c_.rope);
  if (c_.family == "llama") {
    json["attention_bias"] = c_.qkv_bias;
    json["mlp_bias"] = c_.mlp_bias;
  }
  if (c_.window > 0) {
    json["use_sliding_window"] = true;
    json["sliding_window"] = c_.window;
    json["max_window_layers"] = c_.first_window_layer;
  }
  return json;
}

GgufMetadata RotaryDecoder::gguf_metadata() const {
  if (c_.window > 0 && c_.first_window_layer < c_.layers)
    fail(ErrorKind::Unsupported,
         "[export] GGUF has no field for {}'s sliding window; try --format hf", c_.family);
  const std::string p = c_.gguf_architecture + ".";
  auto u32 = [](std::int64_t value) {
    return GgufValue::of_u32(static_cast<std::uint32_t>(value));
  };
  auto f32 = [](double value) { return GgufValue::of_f32(static_cast<float>(value)); };
  GgufMetadata list = {{"general.architecture", GgufValue::of_text(c_.gguf_architecture)},
                       {p + "context_length", u32(c_.context)},
                       {p + "embedding_length", u32(c_.width)},
                       {p + "block_count", u32(c_.layers)},
                       {p + "feed_forward_length", u32(c_.feed_forward)},
                       {p + "attention.head_count", u32(c_.heads)},
                       {p + "attention.head_count_kv", u32(c_.kv_heads)},
                       {p + "attention.key_length", u32(c_.head_dim)},
                       {p + "attention.value_length", u32(c_.head_dim)},
                       {p + "attention.layer_norm_rms_epsilon", f32(c_.eps)},
                       {p + "rope.dimension_count", u32(c_.head_dim)},
                       {p + "rope.freq_base", f32(c_.rope.theta)},
                       {p + "vocab_size", u32(c_.vocabulary)}};
  if (c_.rope.type == "linear") {
    list.emplace_back(p + "rope.scaling.type", GgufValue::of_text("linear"));
    list.emplace_back(p + "rope.scaling.factor", f32(c_.rope.factor));
  }
  return list;
}

std::vector<GgufExtraTensor> RotaryDecoder::gguf_extra_tensors() const {
  if (c_.rope.type != "llama3") return {};
  // llama.cpp divides the plain frequencies by these.
  RopeConfig plain;
  plain.theta = c_.rope.theta;
  const auto from = rope_frequencies(plain, c_.head_dim),
             to = rope_frequencies(c_.rope, c_.head_dim);
  GgufExtraTensor tensor{"rope_freqs.weight", {}};
  for (size_t i = 0; i < to.size(); ++i)
    tensor.values.push_back(static_cast<float>(from[i] / to[i]));
  return {tensor};
}

}  // namespace

RotaryDecoderConfig read_rotary_decoder(const JsonFields& f) {
  RotaryDecoderConfig c;
  c.layers = f.integer("num_hidden_layers", 1, kLayersMax);
  c.width = f.integer("hidden_size", 1, kWidthMax);
  c.heads = f.integer("num_attention_heads", 1, kWidthMax);
  c.kv_heads = f.integer_or("num_key_value_heads", c.heads, 1, kWidthMax);
  if (!f.has("head_dim") && c.width % c.heads != 0)
    f.fail_field("num_attention_heads", "does not divide hidden_size, and there is no head_dim");
  c.head_dim = f.integer_or("head_dim", c.width / c.heads, 1, kWidthMax);
  c.feed_forward = f.integer("intermediate_size", 1, kWidthMax);
  c.vocabulary = f.integer("vocab_size", 1, kVocabularyMax);
  c.context = f.integer_or("max_position_embeddings", 2048, 1);
  c.eps = f.number_or("rms_norm_eps", 1e-6);
  c.rope = read_rope(f, "", "rope_theta", 10000.0);
  c.tied = f.boolean_or("tie_word_embeddings", false);
  c.initializer_range = f.number_or("initializer_range", 0.02);
  const std::string activation = f.text_or("hidden_act", "silu");
  if (activation != "silu")
    f.fail_field("hidden_act", "is not built in for this family; expected silu");
  check(c, f.file());
  return c;
}

RotaryDecoderConfig read_rotary_decoder(const GgufFile& file, const std::string& architecture) {
  const std::string p = architecture + ".";
  RotaryDecoderConfig c;
  c.gguf_architecture = architecture;
  c.layers = file.integer(p + "block_count", 1, kLayersMax);
  c.width = file.integer(p + "embedding_length", 1, kWidthMax);
  c.heads = file.integer(p + "attention.head_count", 1, kWidthMax);
  c.kv_heads = file.integer_or(p + "attention.head_count_kv", c.heads, 1, kWidthMax);
  c.head_dim = file.integer_or(p + "attention.key_length", c.width / c.heads, 1, kWidthMax);
  c.feed_forward = file.integer(p + "feed_forward_length", 1, kWidthMax);
  c.context = file.integer_or(p + "context_length", 2048, 1);
  c.eps = file.number(p + "attention.layer_norm_rms_epsilon");
  c.rope = read_rope(file, architecture, 10000.0);
  if (file.find_tensor("rope_freqs.weight"))
    fail(ErrorKind::Unsupported,
         "[model] {}: rotary scaling by rope_freqs is not read from GGUF; try the Hugging Face "
         "folder",
         file.path());
  const GgufTensor* table = file.find_tensor("token_embd.weight");
  if (!table || table->shape.ndim() != 2)
    fail(ErrorKind::Corruption, "[model] {}: tensor token_embd.weight is missing or no matrix",
         file.path());
  c.vocabulary = table->shape[0];
  c.tied = file.find_tensor("output.weight") == nullptr;
  check(c, file.path());
  return c;
}

std::unique_ptr<Model> make_rotary_decoder(RotaryDecoderConfig config) {
  return std::make_unique<RotaryDecoder>(std::move(config));
}

}  // namespace outsize
