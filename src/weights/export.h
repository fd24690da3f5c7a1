// Writing a model's weights as a Hugging Face folder or a GGUF file. Streams through transfer
// buffers: memory does not depend on sizes.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "formats/gguf.h"
#include "models/model.h"
#include "weights/weight_reader.h"

namespace outsize {

// <folder>/model.safetensors in f32, bf16 or f16. Throws InvalidArgument for another dtype, Io.
void write_hf_weights(const Model& model, const WeightReader& reader, DType dtype,
                      const std::string& folder);

// "f32", "f16", "bf16" or "q8_0"; norms and biases stay f32, and so do rows that q8_0 does not
// divide. `tokenizer` holds the tokenizer.* keys. Throws InvalidArgument for another type, Io.
void write_gguf(const Model& model, const WeightReader& reader, const std::string& type,
                const GgufMetadata& tokenizer, const std::string& path);

// The parameters of a model: those of its evaluation program.
std::vector<ProgramParameter> parameters_of(const Model& model, DType dtype);

}  // namespace outsize
