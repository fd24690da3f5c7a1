#include "models/rope_config.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "core/error.h"

namespace outsize {
namespace {

void read_scaling(const JsonFields& fields, RopeConfig& rope) {
  rope.type = fields.text_or("rope_type", fields.text_or("type", "default"));
  if (rope.type != "default" && rope.type != "linear" && rope.type != "llama3")
    fail(ErrorKind::Unsupported,
         "[model] {}: rope scaling not built in; got '{}'; expected default, linear or llama3",
         fields.file(), rope.type);
  if (rope.type == "default") return;
  rope.factor = fields.number("factor");
  if (!(rope.factor > 0)) fields.fail_field("factor", "must be positive");
  if (rope.type != "llama3") return;
  rope.low_freq_factor = fields.number("low_freq_factor");
  rope.high_freq_factor = fields.number("high_freq_factor");
  rope.original_context = fields.number("original_max_position_embeddings");
  if (!(rope.low_freq_factor > 0) || !(rope.high_freq_factor > rope.low_freq_factor) ||
      !(rope.original_context > 0))
    fields.fail_field("high_freq_factor", "must exceed low_freq_factor, and all be positive");
}

}  // namespace

RopeConfig read_rope(const JsonFields& config, const std::string& layer_type,
                     const std::string& theta_field, double default_theta) {
  RopeConfig rope;
  rope.theta = config.number_or(theta_field, default_theta);
  if (const auto parameters = config.object_or_none("rope_parameters")) {
    const auto nested = layer_type.empty() ? std::nullopt : parameters->object_or_none(layer_type);
    const JsonFields& fields = nested ? *nested : *parameters;
    rope.theta = fields.number_or("rope_theta", rope.theta);
    read_scaling(fields, rope);
  } else if (const auto scaling = config.object_or_none("rope_scaling")) {
    read_scaling(*scaling, rope);
  }
  if (!(rope.theta > 0)) config.fail_field(theta_field, "must be positive");
  if (config.number_or("partial_rotary_factor", 1.0) != 1.0)
    config.fail_field("partial_rotary_factor", "is not built in; expected 1");
  return rope;
}

RopeConfig read_rope(const GgufFile& file, const std::string& architecture, double default_theta) {
  const std::string p = architecture + ".rope.";
  RopeConfig rope;
  rope.theta = file.number_or(p + "freq_base", default_theta);
  const std::string type = file.text_or(p + "scaling.type", "none");
  if (type != "none" && type != "linear")
    fail(ErrorKind::Unsupported,
         "[model] {}: rope scaling is not read from GGUF; got '{}'; expected none or linear; try "
         "the Hugging Face folder",
         file.path(), type);
  // Files of before rope.scaling hold the factor alone.
  rope.factor = file.number_or(p + "scaling.factor", file.number_or(p + "scale_linear", 1.0));
  if (!(rope.theta > 0) || !(rope.factor > 0))
    fail(ErrorKind::InvalidArgument,
         "[model] {}: {}freq_base and the scaling factor must be positive; got {} and {}",
         file.path(), p, rope.theta, rope.factor);
  if (rope.factor != 1.0) rope.type = "linear";
  return rope;
}

nlohmann::json to_json(const RopeConfig& rope) {
  nlohmann::json json = {{"rope_theta", rope.theta}, {"rope_type", rope.type}};
  if (rope.type != "default") json["factor"] = rope.factor;
  if (rope.type == "llama3") {
    json["low_freq_factor"] = rope.low_freq_factor;
    json["high_freq_factor"] = rope.high_freq_factor;
    json["original_max_position_embeddings"] = static_cast<std::int64_t>(rope.original_context);
  }
  return json;
}

std::vector<double> rope_frequencies(const RopeConfig& rope, std::int64_t head_dim) {
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < head_dim / 2; ++i) {
    double f = std::pow(rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    if (rope.type == "linear") f /= rope.factor;
    if (rope.type == "llama3") {
      const double wavelengths = rope.original_context * f / (2.0 * std::numbers::pi);
      const double blend =
          (wavelengths - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
      const double keep = std::fmin(1.0, std::fmax(0.0, blend));
      f = keep * f + (1.0 - keep) * f / rope.factor;
    }
    frequencies.push_back(f);
  }
  return frequencies;
}

}  // namespace outsize
