#include "exec/tiny_training.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/half.h"
#include "core/rng.h"

namespace outsize::exec_test {
namespace {

constexpr std::int64_t kVocabulary = 61;

nlohmann::json config_of(const std::string& family, std::int64_t layers) {
  if (family == "gpt2")
    return {{"model_type", "gpt2"}, {"n_embd", 24},       {"n_layer", layers},
            {"n_head", 3},          {"n_positions", 256}, {"vocab_size", kVocabulary}};
  nlohmann::json config = {
      {"model_type", family},      {"hidden_size", 24},
      {"intermediate_size", 40},   {"num_hidden_layers", layers},
      {"num_attention_heads", 4},  {"num_key_value_heads", family == "llama" ? 2 : 1},
      {"vocab_size", kVocabulary}, {"max_position_embeddings", 256},
      {"rms_norm_eps", 1e-6},      {"tie_word_embeddings", family != "llama"}};
  if (family == "gemma3_text") {
    config["head_dim"] = 16;
    config["sliding_window"] = 5;
    config["query_pre_attn_scalar"] = 20;
    config["layer_types"] = nlohmann::json::array();
    for (std::int64_t i = 0; i < layers; ++i)
      config["layer_types"].push_back(i % 2 == 1 ? "full_attention" : "sliding_attention");
  }
  return config;
}

}  // namespace

std::unique_ptr<Model> tiny_model(const std::string& family, std::int64_t layers) {
  return model_from_hf_config(config_of(family, layers), "tiny config.json");
}

TinyTraining::TinyTraining(const TrainingSetup& setup)
    : setup_(setup), model_(tiny_model(setup.family, setup.layers)) {
  program_ = model_->program({.mode = BuildOptions::Mode::training,
                              .tokens = setup.rows * setup.length,
                              .row_length = setup.length,
                              .dtype = setup.dtype});
  rule_ = make_update_rule({.name = "sgd"});
  CompileOptions compile = setup.compile;
  compile.recompute = setup.recompute != Recompute::nothing;
  compiled_ = std::make_unique<CompiledProgram>(program_, compile);
  TrainingRequest training{.accumulation = setup.accumulation};
  std::vector<ParameterSpec> specs;
  for (const ProgramParameter& parameter : program_.parameters) {
    specs.push_back({parameter.type.shape, parameter.type.dtype, parameter.decay});
    training.optimizer.emplace_back();
    for (const StateBuffer& state : rule_->state(specs.back()))
      training.optimizer.back().push_back({state.name, state.count * size_of(state.dtype)});
    training.update_scratch_bytes.push_back(rule_->workspace_bytes(specs.back()));
  }
  PlanRequest request{&program_, compiled_->profiles(), training, 0,
                      compiled_->recomputing_profiles()};
  request.knobs.recompute.assign(program_.calls.size(), setup.recompute);
  Plan plan = make_plan(request);
  arena_ = std::make_shared<HostArena>(plan.arena_bytes);
  executor_ = std::make_unique<Executor>(*compiled_, std::move(plan), arena_,
                                         UpdateSetup{rule_.get(), specs});
  executor_->after_task = [this](const Task& task) {
    if (task.kind != TaskKind::gradient_norm) return;
    gradients_.clear();
    for (int id : this->plan().gradients) {
      const auto* values = static_cast<const float*>(executor_->buffer(id));
      gradients_.insert(gradients_.end(), values,
                        values + this->plan().buffers[static_cast<size_t>(id)].extent.bytes / 4);
    }
  };
  write_weights();
}

void TinyTraining::write_weights() {
  for (size_t p = 0; p < program_.parameters.size(); ++p) {
    const ValueType& type = program_.parameters[p].type;
    const Rng rng(7, p);
    for (std::int64_t i = 0; i < type.shape.numel(); ++i) {
      const auto value = static_cast<float>(0.2 * rng.normal(static_cast<std::uint64_t>(i)) +
                                            (type.shape.ndim() == 1 ? 0.5 : 0.0));
      void* weight = executor_->weight(static_cast<int>(p));
      if (type.dtype == DType::f32)
        static_cast<float*>(weight)[i] = value;
      else
        static_cast<bf16*>(weight)[i] = to_bf16(value);
    }
  }
}

void TinyTraining::write_batch(int microbatch, std::int64_t number) {
  const std::int64_t count = setup_.rows * setup_.length;
  const Rng rng(11, static_cast<std::uint64_t>(number * 100 + microbatch));
  std::vector<std::int32_t> tokens, positions, starts, targets;
  std::int32_t start = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::uint64_t>(i) * 4;
    if (i % setup_.length == 0 || rng.below(at, 9) == 0) start = static_cast<std::int32_t>(i);
    tokens.push_back(static_cast<std::int32_t>(rng.below(at + 1, kVocabulary)));
    positions.push_back(static_cast<std::int32_t>(i) - start);
    starts.push_back(start);
    const bool trained = rng.below(at + 2, 3) != 0;
    targets.push_back(trained ? static_cast<std::int32_t>(rng.below(at + 3, kVocabulary)) : -1);
    target_tokens_ += trained;
  }
  const auto put = [&](const char* name, const std::vector<std::int32_t>& values) {
    if (program_.find_value(name) >= 0)
      std::memcpy(executor_->value(microbatch, name), values.data(), values.size() * 4);
  };
  put("tokens", tokens);
  put("positions", positions);
  put("document_start", starts);
  put("targets", targets);
}

double TinyTraining::step(std::int64_t number) {
  target_tokens_ = 0;
  for (int m = 0; m < setup_.accumulation; ++m) write_batch(m, number);
  *static_cast<double*>(executor_->buffer(plan().loss_scale)) =
      1.0 / static_cast<double>(target_tokens_);
  executor_->run({.step = number, .lr = setup_.lr, .clip = 1.0});
  double loss = 0;
  for (int m = 0; m < setup_.accumulation; ++m)
    loss += *static_cast<const double*>(executor_->value(m, "loss"));
  return loss / static_cast<double>(target_tokens_);
}

std::string TinyTraining::weights() const {
  std::string bytes;
  for (int id : plan().weights)
    bytes.append(static_cast<const char*>(executor_->buffer(id)),
                 static_cast<size_t>(plan().buffers[static_cast<size_t>(id)].extent.bytes));
  return bytes;
}

void TinyTraining::poison(unsigned char byte) {
  std::vector<char> keep(static_cast<size_t>(arena_->bytes()), 0);
  for (const Buffer& buffer : plan().buffers)
    if (buffer.persistent) std::fill_n(keep.begin() + buffer.extent.offset, buffer.extent.bytes, 1);
  for (size_t i = 0; i < keep.size(); ++i)
    if (!keep[i]) arena_->data()[i] = static_cast<char>(byte);
}

}  // namespace outsize::exec_test
