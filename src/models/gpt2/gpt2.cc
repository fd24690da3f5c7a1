// GPT-2 (Radford et al. 2019): learned positions, layer norms, biases everywhere, one tensor for
// q, k and v. Hugging Face stores its matrices [in,out].
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "models/family.h"
#include "models/limits.h"
#include "ops/add/add.h"
#include "ops/embedding/embedding.h"

namespace outsize {
namespace {

struct Gpt2Config {
  std::int64_t layers = 0, width = 0, heads = 0, feed_forward = 0, vocabulary = 0, context = 0;
  double eps = 1e-5;
  bool tied = true;
  double initializer_range = 0.02;
};

class Gpt2 : public Model {
 public:
  explicit Gpt2(const Gpt2Config& config) : c_(config) {}

  ModelInfo info() const override {
    return {
        "gpt2", c_.layers, c_.width, c_.vocabulary, c_.context, c_.tied, "transformer.wte.weight"};
  }
  double initializer_range() const override { return c_.initializer_range; }

  DecoderParts parts() const override {
    DecoderParts parts;
    parts.width = c_.width;
    parts.vocabulary = c_.vocabulary;
    parts.layer_kinds.assign(static_cast<size_t>(c_.layers), 0);
    parts.layer_prefix = "transformer.h.";
    parts.head_weight = c_.tied ? "transformer.wte.weight" : "lm_head.weight";
    parts.embed = [c = c_](SegmentBuilder& b) {
      Graph& g = b.graph();
      const ValueId words = b.embed_tokens("transformer.wte.weight", c.vocabulary, c.width);
      const ValueId places =
          embedding(g, b.matrix("transformer.wpe.weight", c.context, c.width), b.positions());
      return add(g, words, places);
    };
    parts.block = [c = c_](SegmentBuilder& b, int, ValueId x) { return block(c, b, x); };
    parts.final_norm = [c = c_](SegmentBuilder& b, ValueId x) {
      return b.layer_norm("transformer.ln_f", x, c.eps);
    };
    return parts;
  }

  std::vector<WeightSource> weights() const override;

  nlohmann::json hf_config() const override {
    return {{"architectures", {"GPT2LMHeadModel"}},
            {"model_type", "gpt2"},
            {"n_layer", c_.layers},
            {"n_embd", c_.width},
            {"n_head", c_.heads},
            {"n_inner", c_.feed_forward},
            {"n_positions", c_.context},
            {"n_ctx", c_.context},
            {"vocab_size", c_.vocabulary},
            {"layer_norm_epsilon", c_.eps},
            {"activation_function", "gelu_new"},
            {"tie_word_embeddings", c_.tied},
            {"initializer_range", c_.initializer_range}};
  }

  GgufMetadata gguf_metadata() const override {
    auto u32 = [](std::int64_t value) {
      return GgufValue::of_u32(static_cast<std::uint32_t>(value));
    };
    return {{"general.architecture", GgufValue::of_text("gpt2")},
            {"gpt2.context_length", u32(c_.context)},
            {"gpt2.embedding_length", u32(c_.width)},
            {"gpt2.block_count", u32(c_.layers)},
            {"gpt2.feed_forward_length", u32(c_.feed_forward)},
            {"gpt2.attention.head_count", u32(c_.heads)},
            {"gpt2.attention.layer_norm_epsilon", GgufValue::of_f32(static_cast<float>(c_.eps))}};
  }

 private:
  static ValueId block(const Gpt2Config& c, SegmentBuilder& b, ValueId x) {
    const ValueId h = b.layer_norm("ln_1", x, c.eps);
    const ValueId q = b.linear("attn.c_attn#q", h, c.width, true);
    const ValueId k = b.linear("attn.c_attn#k", h, c.width, true);
    const ValueId v = b.linear("attn.c_attn#v", h, c.width, true);
    const std::int64_t head_dim = c.width / c.heads;
    const AttentionOptions options{.heads = c.heads,
                                   .kv_heads = c.heads,
                                   .head_dim = head_dim,
                                   .scale = 1.0 / std::sqrt(static_cast<double>(head_dim))};
    x = add(b.graph(), x, b.linear("attn.c_proj", b.attend(q, k, v, options), c.width, true));
    const ValueId inner =
        b.linear("mlp.c_fc", b.layer_norm("ln_2", x, c.eps), c.feed_forward, true);
    const ValueId active = activation(b.graph(), inner, ActivationKind::gelu_tanh);
    return add(b.graph(), x, b.linear("mlp.c_proj", active, c.width, true));
  }

  Gpt2Config c_;
};

std::vector<WeightSource> Gpt2::weights() const {
  std::vector<WeightSource> list;
  auto plain = [&](const std::string& name, const std::string& gguf, bool transposed = false) {
    list.push_back(
        {.parameter = name, .hf_name = name, .hf_transposed = transposed, .gguf_name = gguf});
  };
  plain("transformer.wte.weight", "token_embd.weight");
  plain("transformer.wpe.weight", "position_embd.weight");
  for (std::int64_t i = 0; i < c_.layers; ++i) {
    const std::string hf = fmt::format("transformer.h.{}.", i), gguf = fmt::format("blk.{}.", i);
    auto pair = [&](const char* module, const char* tensor, bool transposed) {
      plain(hf + module + ".weight", gguf + tensor + ".weight", transposed);
      plain(hf + module + ".bias", gguf + tensor + ".bias");
    };
    pair("ln_1", "attn_norm", false);
    for (const char* kind : {".weight", ".bias"})
      for (std::int64_t part = 0; part < 3; ++part)
        list.push_back({.parameter = fmt::format("{}attn.c_attn#{}{}", hf, "qkv"[part], kind),
                        .hf_name = hf + "attn.c_attn" + kind,
                        .hf_transposed = kind == std::string(".weight"),
                        .first_row = part * c_.width,
                        .total_rows = 3 * c_.width,
                        .gguf_name = gguf + "attn_qkv" + kind});
    pair("attn.c_proj", "attn_output", true);
    pair("ln_2", "ffn_norm", false);
    pair("mlp.c_fc", "ffn_up", true);
    pair("mlp.c_proj", "ffn_down", true);
  }
  plain("transformer.ln_f.weight", "output_norm.weight");
  plain("transformer.ln_f.bias", "output_norm.bias");
  if (!c_.tied) plain("lm_head.weight", "output.weight");
  return list;
}

void check(const Gpt2Config& c, const std::string& file) {
  if (c.vocabulary > kVocabularyMax)
    fail(ErrorKind::InvalidArgument, "[model] {}: vocabulary too large; got {}", file,
         c.vocabulary);
  if (c.width % c.heads != 0 || c.width / c.heads % 2 != 0)
    fail(ErrorKind::InvalidArgument,
         "[model] {}: heads do not divide the width into even parts; got {} heads, width {}", file,
         c.heads, c.width);
}

std::unique_ptr<Model> from_hf(const JsonFields& f) {
  Gpt2Config c;
  c.layers = f.integer("n_layer", 1, kLayersMax);
  c.width = f.integer("n_embd", 1, kWidthMax);
  c.heads = f.integer("n_head", 1, kWidthMax);
  c.feed_forward = f.integer_or("n_inner", 4 * c.width, 1, kWidthMax);
  c.vocabulary = f.integer("vocab_size", 1, kVocabularyMax);
  c.context = f.integer_or("n_positions", f.integer_or("n_ctx", 1024, 1, kVocabularyMax), 1,
                           kVocabularyMax);
  c.eps = f.number_or("layer_norm_epsilon", 1e-5);
  c.tied = f.boolean_or("tie_word_embeddings", true);
  c.initializer_range = f.number_or("initializer_range", 0.02);
  const std::string activation = f.text_or("activation_function", "gelu_new");
  if (activation != "gelu_new" && activation != "gelu_pytorch_tanh")
    f.fail_field("activation_function", "is not built in for this family; expected gelu_new");
  if (!f.boolean_or("scale_attn_weights", true))
    f.fail_field("scale_attn_weights", "is not built in; expected true");
  for (const char* field : {"scale_attn_by_inverse_layer_idx", "add_cross_attention"})
    if (f.boolean_or(field, false)) f.fail_field(field, "is not built in; expected false");
  check(c, f.file());
  return std::make_unique<Gpt2>(c);
}

std::unique_ptr<Model> from_gguf(const GgufFile& file) {
  Gpt2Config c;
  c.layers = file.integer("gpt2.block_count", 1, kLayersMax);
  c.width = file.integer("gpt2.embedding_length", 1, kWidthMax);
  c.heads = file.integer("gpt2.attention.head_count", 1, kWidthMax);
  c.feed_forward = file.integer("gpt2.feed_forward_length", 1, kWidthMax);
  c.context = file.integer("gpt2.context_length", 1, kVocabularyMax);
  c.eps = file.number("gpt2.attention.layer_norm_epsilon");
  const GgufTensor* table = file.find_tensor("token_embd.weight");
  if (!table || table->shape.ndim() != 2)
    fail(ErrorKind::Corruption, "[model] {}: tensor token_embd.weight is missing or no matrix",
         file.path());
  c.vocabulary = table->shape[0];
  c.tied = file.find_tensor("output.weight") == nullptr;
  check(c, file.path());
  return std::make_unique<Gpt2>(c);
}

}  // namespace

Family gpt2_family() {
  return {"gpt2", "gpt2", from_hf, from_gguf};
}

}  // namespace outsize
