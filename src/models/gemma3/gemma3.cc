// Gemma 3, text (Gemma Team 2025): local and global attention in turn, norms on q and k, four norms
// per block whose weights count from one, scaled embeddings, a tied head.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "models/family.h"
#include "models/limits.h"
#include "models/rope_config.h"
#include "ops/add/add.h"

namespace outsize {
namespace {

constexpr int kGlobal = 0, kLocal = 1;  // layer kinds, and their rotary tables

struct Gemma3Config {
  std::int64_t layers = 0, width = 0, heads = 0, kv_heads = 0, head_dim = 0, feed_forward = 0;
  std::int64_t vocabulary = 0, context = 0, window = 0;
  double eps = 1e-6, query_scalar = 256;
  RopeConfig global_rope, local_rope;
  std::vector<int> kinds;  // per layer
  bool tied = true;
  double initializer_range = 0.02;
};

// Every `pattern`-th layer is global.
std::vector<int> kinds_by_pattern(std::int64_t layers, std::int64_t pattern) {
  std::vector<int> kinds;
  for (std::int64_t i = 0; i < layers; ++i)
    kinds.push_back((i + 1) % pattern == 0 ? kGlobal : kLocal);
  return kinds;
}

class Gemma3 : public Model {
 public:
  explicit Gemma3(Gemma3Config config) : c_(std::move(config)) {}

  ModelInfo info() const override {
    return {"gemma3_text",
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
    parts.rope_frequencies = {rope_frequencies(c_.global_rope, c_.head_dim),
                              rope_frequencies(c_.local_rope, c_.head_dim)};
    parts.layer_kinds = c_.kinds;
    parts.layer_prefix = "model.layers.";
    parts.head_weight = c_.tied ? "model.embed_tokens.weight" : "lm_head.weight";
    parts.embed = [c = c_](SegmentBuilder& b) {
      const double scale = static_cast<float>(std::sqrt(static_cast<double>(c.width)));
      return b.embed_tokens("model.embed_tokens.weight", c.vocabulary, c.width, scale);
    };
    parts.block = [c = c_](SegmentBuilder& b, int kind, ValueId x) { return block(c, b, kind, x); };
    parts.final_norm = [c = c_](SegmentBuilder& b, ValueId x) {
      return b.rms_norm("model.norm", x, c.eps, true);
    };
    return parts;
  }

  std::vector<WeightSource> weights() const override;
  nlohmann::json hf_config() const override;
  GgufMetadata gguf_metadata() const override;

 private:
  static ValueId block(const Gemma3Config& c, SegmentBuilder& b, int kind, ValueId x) {
    const std::int64_t kv_width = c.kv_heads * c.head_dim;
    const ValueId h = b.rms_norm("input_layernorm", x, c.eps, true);
    ValueId q = b.linear("self_attn.q_proj", h, c.heads * c.head_dim, false);
    ValueId k = b.linear("self_attn.k_proj", h, kv_width, false);
    const ValueId v = b.linear("self_attn.v_proj", h, kv_width, false);
    q = b.rope(b.rms_norm("self_attn.q_norm", q, c.eps, true, c.head_dim), kind, c.head_dim);
    k = b.rope(b.rms_norm("self_attn.k_norm", k, c.eps, true, c.head_dim), kind, c.head_dim);
    const AttentionOptions options{.heads = c.heads,
                                   .kv_heads = c.kv_heads,
                                   .head_dim = c.head_dim,
                                   .scale = 1.0 / std::sqrt(c.query_scalar),
                                   .window = kind == kLocal ? c.window : 0};
    const ValueId attended =
        b.linear("self_attn.o_proj", b.attend(q, k, v, options), c.width, false);
    x = add(b.graph(), x, b.rms_norm("post_attention_layernorm", attended, c.eps, true));
    const ValueId normed = b.rms_norm("pre_feedforward_layernorm", x, c.eps, true);
    const ValueId fed = b.gated_mlp("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", normed,
                                    c.feed_forward, ActivationKind::gelu_tanh, false);
    return add(b.graph(), x, b.rms_norm("post_feedforward_layernorm", fed, c.eps, true));
  }

  Gemma3Config c_;
};

std::vector<WeightSource> Gemma3::weights() const {
  std::vector<WeightSource> list;
  auto add_source = [&](const std::string& name, const std::string& gguf, bool norm) {
    list.push_back(
        {.parameter = name, .hf_name = name, .gguf_name = gguf, .gguf_offset = norm ? 1.0 : 0.0});
  };
  constexpr struct {
    const char *module, *tensor;
    bool norm;
  } kModules[] = {
      {"input_layernorm", "attn_norm", true},
      {"self_attn.q_proj", "attn_q", false},
      {"self_attn.k_proj", "attn_k", false},
      {"self_attn.v_proj", "attn_v", false},
      {"self_attn.q_norm", "attn_q_norm", true},
      {"self_attn.k_norm", "attn_k_norm", true},
      {"self_attn.o_proj", "attn_output", false},
      {"post_attention_layernorm", "post_attention_norm", true},
      {"pre_feedforward_layernorm", "ffn_norm", true},
      {"mlp.gate_proj", "ffn_gate", false},
      {"mlp.up_proj", "ffn_up", false},
      {"mlp.down_proj", "ffn_down", false},
      {"post_feedforward_layernorm", "post_ffw_norm", true},
  };
  add_source("model.embed_tokens.weight", "token_embd.weight", false);
  for (std::int64_t i = 0; i < c_.layers; ++i)
    for (const auto& m : kModules)
      add_source(fmt::format("model.layers.{}.{}.weight", i, m.module),
                 fmt::format("blk.{}.{}.weight", i, m.tensor), m.norm);
  add_source("model.norm.weight", "output_norm.weight", true);
  if (!c_.tied) add_source("lm_head.weight", "output.weight", false);
  return list;
}

// transformers refuses 256.0 where it expects a whole number.
nlohmann::json whole_if_possible(double value) {
  if (value == std::floor(value)) return static_cast<std::int64_t>(value);
  return value;
}

nlohmann::json Gemma3::hf_config() const {
  std::vector<std::string> types;
  for (int kind : c_.kinds)
    types.push_back(kind == kLocal ? "sliding_attention" : "full_attention");
  return {{"architectures", {"Gemma3ForCausalLM"}},
          {"model_type", "gemma3_text"},
          {"hidden_size", c_.width},
          {"intermediate_size", c_.feed_forward},
          {"num_hidden_layers", c_.layers},
          {"num_attention_heads", c_.heads},
          {"num_key_value_heads", c_.kv_heads},
          {"head_dim", c_.head_dim},
          {"vocab_size", c_.vocabulary},
          {"max_position_embeddings", c_.context},
          {"rms_norm_eps", c_.eps},
          {"sliding_window", c_.window},
          {"layer_types", types},
          {"query_pre_attn_scalar", whole_if_possible(c_.query_scalar)},
          {"hidden_activation", "gelu_pytorch_tanh"},
          {"attention_bias", false},
          {"rope_theta", c_.global_rope.theta},
          {"rope_local_base_freq", c_.local_rope.theta},
          {"rope_parameters",
           {{"full_attention", to_json(c_.global_rope)},
            {"sliding_attention", to_json(c_.local_rope)}}},
          {"tie_word_embeddings", c_.tied},
          {"initializer_range", c_.initializer_range}};
}

// What llama.cpp takes for granted, by the model's sizes.
constexpr std::int64_t kGgufPattern = 6;

double gguf_query_scalar(const Gemma3Config& c) {
  constexpr std::int64_t kLayersOf27B = 62;
  return static_cast<double>(c.layers == kLayersOf27B ? c.width / c.heads : c.head_dim);
}

void refuse_what_gguf_cannot_say(const Gemma3Config& c) {
  if (c.kinds != kinds_by_pattern(c.layers, kGgufPattern))
    fail(ErrorKind::Unsupported,
         "[export] GGUF has no field for layer_types; expected every {}th layer to be global; try "
         "--format hf",
         kGgufPattern);
  if (c.query_scalar != gguf_query_scalar(c))
    fail(ErrorKind::Unsupported,
         "[export] GGUF has no field for query_pre_attn_scalar; got {}; expected {}; try --format "
         "hf",
         c.query_scalar, gguf_query_scalar(c));
  if (c.local_rope.type != "default")
    fail(ErrorKind::Unsupported,
         "[export] GGUF has no field for scaled rotary angles of local layers; try --format hf");
}

GgufMetadata Gemma3::gguf_metadata() const {
  refuse_what_gguf_cannot_say(c_);
  auto u32 = [](std::int64_t value) {
    return GgufValue::of_u32(static_cast<std::uint32_t>(value));
  };
  auto f32 = [](double value) { return GgufValue::of_f32(static_cast<float>(value)); };
  GgufMetadata list = {{"general.architecture", GgufValue::of_text("gemma3")},
                       {"gemma3.context_length", u32(c_.context)},
                       {"gemma3.embedding_length", u32(c_.width)},
                       {"gemma3.block_count", u32(c_.layers)},
                       {"gemma3.feed_forward_length", u32(c_.feed_forward)},
                       {"gemma3.attention.head_count", u32(c_.heads)},
                       {"gemma3.attention.head_count_kv", u32(c_.kv_heads)},
                       {"gemma3.attention.key_length", u32(c_.head_dim)},
                       {"gemma3.attention.value_length", u32(c_.head_dim)},
                       {"gemma3.attention.layer_norm_rms_epsilon", f32(c_.eps)},
                       {"gemma3.attention.sliding_window", u32(c_.window)},
                       {"gemma3.rope.freq_base", f32(c_.global_rope.theta)},
                       {"gemma3.rope.freq_base_swa", f32(c_.local_rope.theta)}};
  if (c_.global_rope.type == "linear") {
    list.emplace_back("gemma3.rope.scaling.type", GgufValue::of_text("linear"));
    list.emplace_back("gemma3.rope.scaling.factor", f32(c_.global_rope.factor));
  }
  return list;
}

void check(const Gemma3Config& c, const std::string& file) {
  check_heads(c.heads, c.head_dim, file);
  if (c.heads % c.kv_heads != 0 || c.head_dim % 2 != 0 || !(c.query_scalar > 0) || !(c.eps > 0))
    fail(ErrorKind::InvalidArgument,
         "[model] {}: heads, head_dim, query_pre_attn_scalar or rms_norm_eps do not fit; got {} "
         "query and "
         "{} key/value heads of {}",
         file, c.heads, c.kv_heads, c.head_dim);
}

void refuse_unbuilt(const JsonFields& f) {
  for (const char* field : {"attn_logit_softcapping", "final_logit_softcapping"})
    if (f.has(field)) f.fail_field(field, "is not built in; expected null");
  if (f.boolean_or("attention_bias", false)) f.fail_field("attention_bias", "is not built in");
  if (f.boolean_or("use_bidirectional_attention", false))
    f.fail_field("use_bidirectional_attention", "is not built in");
  const std::string activation = f.text_or("hidden_activation", "gelu_pytorch_tanh");
  if (activation != "gelu_pytorch_tanh")
    f.fail_field("hidden_activation", "is not built in; expected gelu_pytorch_tanh");
}

std::unique_ptr<Model> from_hf(const JsonFields& f) {
  refuse_unbuilt(f);
  Gemma3Config c;
  c.layers = f.integer("num_hidden_layers", 1, kLayersMax);
  c.width = f.integer("hidden_size", 1, kWidthMax);
  c.heads = f.integer("num_attention_heads", 1, kWidthMax);
  c.kv_heads = f.integer_or("num_key_value_heads", c.heads, 1, kWidthMax);
  c.head_dim = f.integer_or("head_dim", 256, 1, kWidthMax);
  c.feed_forward = f.integer("intermediate_size", 1, kWidthMax);
  c.vocabulary = f.integer("vocab_size", 1, kVocabularyMax);
  c.context = f.integer_or("max_position_embeddings", 131072, 1);
  c.window = f.integer_or("sliding_window", 4096, 1);
  c.eps = f.number_or("rms_norm_eps", 1e-6);
  c.query_scalar = f.number_or("query_pre_attn_scalar", 256);
  c.global_rope = read_rope(f, "full_attention", "rope_theta", 1e6);
  c.local_rope.theta = f.number_or("rope_local_base_freq", 10000);
  if (const auto nested = f.object_or_none("rope_parameters"))
    if (nested->has("sliding_attention"))
      c.local_rope = read_rope(f, "sliding_attention", "rope_local_base_freq", 10000);
  c.tied = f.boolean_or("tie_word_embeddings", true);
  c.initializer_range = f.number_or("initializer_range", 0.02);
  const auto types = f.texts("layer_types");
  if (types.empty()) {
    c.kinds = kinds_by_pattern(c.layers, f.integer_or("sliding_window_pattern", 6, 1));
  } else {
    for (const std::string& type : types) {
      if (type != "full_attention" && type != "sliding_attention")
        f.fail_field("layer_types",
                     "holds an unknown type; expected full_attention or sliding_attention");
      c.kinds.push_back(type == "sliding_attention" ? kLocal : kGlobal);
    }
    if (static_cast<std::int64_t>(c.kinds.size()) != c.layers)
      f.fail_field("layer_types", "does not have one entry per layer");
  }
  check(c, f.file());
  return std::make_unique<Gemma3>(std::move(c));
}

std::unique_ptr<Model> from_gguf(const GgufFile& file) {
  Gemma3Config c;
  c.layers = file.integer("gemma3.block_count", 1, kLayersMax);
  c.width = file.integer("gemma3.embedding_length", 1, kWidthMax);
  c.heads = file.integer("gemma3.attention.head_count", 1, kWidthMax);
  c.kv_heads = file.integer_or("gemma3.attention.head_count_kv", c.heads, 1, kWidthMax);
  c.head_dim = file.integer_or("gemma3.attention.key_length", 256, 1, kWidthMax);
  c.feed_forward = file.integer("gemma3.feed_forward_length", 1, kWidthMax);
  c.context = file.integer_or("gemma3.context_length", 131072, 1);
  c.window = file.integer_or("gemma3.attention.sliding_window", 1024, 1);
  c.eps = file.number("gemma3.attention.layer_norm_rms_epsilon");
  c.query_scalar = gguf_query_scalar(c);
  c.global_rope = read_rope(file, "gemma3", 1e6);
  c.local_rope.theta = file.number_or("gemma3.rope.freq_base_swa", 10000);
  c.kinds = kinds_by_pattern(c.layers, kGgufPattern);
  const GgufTensor* table = file.find_tensor("token_embd.weight");
  if (!table || table->shape.ndim() != 2)
    fail(ErrorKind::Corruption, "[model] {}: tensor token_embd.weight is missing or no matrix",
         file.path());
  c.vocabulary = table->shape[0];
  c.tied = file.find_tensor("output.weight") == nullptr;
  check(c, file.path());
  return std::make_unique<Gemma3>(std::move(c));
}

}  // namespace

Family gemma3_family() {
  return {"gemma3_text", "gemma3", from_hf, from_gguf};
}

}  // namespace outsize
