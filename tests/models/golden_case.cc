#include "models/golden_case.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "formats/json.h"
#include "formats/safetensors.h"

namespace outsize::testing_models {
namespace {

std::vector<float> tensor(const TensorFolder& file, const std::string& name) {
  std::vector<float> values(static_cast<size_t>(file.at(name).shape.numel()));
  file.read_f32(name, 0, static_cast<std::int64_t>(values.size()), values.data());
  return values;
}

std::map<std::string, double> numbers(const nlohmann::json& object) {
  return object.get<std::map<std::string, double>>();
}

std::int64_t count_targets(const Batch& batch) {
  return std::count_if(batch.targets.begin(), batch.targets.end(),
                       [](std::int32_t target) { return target >= 0; });
}

}  // namespace

Golden::Golden(const std::string& family)
    : folder(std::string(OUTSIZE_SOURCE_DIR) + "/tests/models/golden/" + family),
      model(open_model(folder)),
      weights(open_hf_weights(folder)) {
  const nlohmann::json raw = read_json(folder + "/batch.json");
  raw.at("rows").get_to(rows);
  raw.at("sequence_length").get_to(length);
  raw.at("tokens").get_to(batch.tokens);
  raw.at("positions").get_to(batch.positions);
  raw.at("document_start").get_to(batch.document_start);
  raw.at("targets").get_to(batch.targets);
  batch.target_tokens = count_targets(batch);
  const nlohmann::json golden = read_json(folder + "/golden.json");
  golden.at("prompt").get_to(prompt);
  golden.at("losses").get_to(losses);
  golden.at("gradient_norms").get_to(norms);
  golden.at("vanishing").get_to(vanishing);
  const nlohmann::json& allowed = golden.at("bf16_tolerances");
  bf16 = {allowed.at("logits"), allowed.at("loss"), numbers(allowed.at("gradients")),
          numbers(allowed.at("weights"))};
  const nlohmann::json& how = golden.at("optimizer");
  optimizer.beta1 = how.at("betas").at(0);
  optimizer.beta2 = how.at("betas").at(1);
  optimizer.eps = how.at("eps");
  optimizer.weight_decay = how.at("weight_decay");
  steps = how.at("steps");
  lr = how.at("lr");
  clip = how.at("clip");
  const TensorFolder tensors(folder + "/golden.safetensors");
  logits = tensor(tensors, "logits");
  for (const std::string& name : tensors.names()) {
    constexpr std::string_view kGradient = "gradient/", kWeight = "weight/";
    if (name.starts_with(kGradient))
      first_gradients[name.substr(kGradient.size())] = tensor(tensors, name);
    if (name.starts_with(kWeight))
      last_weights[name.substr(kWeight.size())] = tensor(tensors, name);
  }
}

std::vector<Batch> Golden::by_rows() const {
  std::vector<Batch> list;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t first = row * length;
    auto cut = [&](const std::vector<std::int32_t>& values) {
      return std::vector<std::int32_t>(values.begin() + first, values.begin() + first + length);
    };
    Batch part{cut(batch.tokens), cut(batch.positions), cut(batch.document_start),
               cut(batch.targets)};
    for (std::int32_t& start : part.document_start) start -= static_cast<std::int32_t>(first);
    part.target_tokens = count_targets(part);
    list.push_back(std::move(part));
  }
  return list;
}

std::vector<std::string> golden_families() {
  return {"gpt2", "llama3", "qwen2", "gemma3_text"};
}

std::string kind_of(const std::string& name) {
  std::string all;
  for (size_t i = 0; i < name.size();) {
    size_t end = i + 1;
    while (name[i] == '.' && end < name.size() &&
           std::isdigit(static_cast<unsigned char>(name[end])))
      ++end;
    const bool number = end > i + 1 && end < name.size() && name[end] == '.';
    all += number ? ".*" : std::string(1, name[i]);
    i = number ? end : i + 1;
  }
  return all;
}

double error_norm(std::span<const float> got, std::span<const float> expected) {
  double total = got.size() == expected.size() ? 0 : std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < std::min(got.size(), expected.size()); ++i) {
    const double error = static_cast<double>(got[i]) - static_cast<double>(expected[i]);
    total += std::isfinite(error) ? error * error : std::numeric_limits<double>::infinity();
  }
  return std::sqrt(total);
}

double norm(std::span<const float> values) {
  double total = 0;
  for (float value : values) total += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(total);
}

}  // namespace outsize::testing_models
