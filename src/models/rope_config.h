// Rotary embedding settings as Hugging Face configurations and GGUF files spell them; in the former
// old (rope_theta, rope_scaling) and new (rope_parameters, flat or per layer type).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "formats/json.h"

namespace outsize {

struct RopeConfig {
  double theta = 10000.0;
  std::string type = "default";                          // default, linear or llama3
  double factor = 1.0;                                   // linear, llama3
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  // llama3
  double original_context = 8192;                        // llama3
};

// `layer_type` picks an entry of a nested rope_parameters ("full_attention"); empty: the flat form.
// `theta_field` is the old form's field. Throws Unsupported for other scaling types.
RopeConfig read_rope(const JsonFields& config, const std::string& layer_type,
                     const std::string& theta_field, double default_theta);

// From a GGUF file's "<architecture>.rope.*". Throws Unsupported for scaling other than linear.
RopeConfig read_rope(const GgufFile& file, const std::string& architecture, double default_theta);

// The new flat form.
nlohmann::json to_json(const RopeConfig& rope);

// K/2 angles in radians per position. llama3: wavelengths beyond original_context / low_freq_factor
// are stretched by `factor`, short ones kept, those between blended (Llama 3.1, 2024).
std::vector<double> rope_frequencies(const RopeConfig& rope, std::int64_t head_dim);

}  // namespace outsize
