// A language model's architecture: its sizes, its graph-building text, and how its parameters are
// named and stored in Hugging Face folders and GGUF files. Holds no weights.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "formats/json.h"
#include "nn/decoder.h"

namespace outsize {

struct ModelInfo {
  std::string family;  // "qwen2": config.json's model_type
  std::int64_t layers = 0;
  std::int64_t width = 0;
  std::int64_t vocabulary = 0;
  std::int64_t context = 0;  // longest sequence the model was made for
  bool tied = false;         // the head is the embedding table
  std::string embedding;     // the table's parameter
};

// Where a program parameter's values lie in files. A parameter is a range of rows of the Hugging
// Face tensor (all of it, unless one tensor holds several parameters).
struct WeightSource {
  std::string parameter;
  std::string hf_name;
  bool hf_transposed = false;   // stored [in,out] (GPT-2's Conv1D)
  std::int64_t first_row = 0;   // in the [out,in] view; same range in the GGUF tensor
  std::int64_t total_rows = 0;  // of that tensor; 0: the parameter is all of it
  std::string gguf_name;
  // Rotary halves of each of these many heads lie interleaved in GGUF (llama's q and k); 0: not.
  std::int64_t gguf_interleaved_heads = 0;
  double gguf_offset = 0;  // GGUF value = Hugging Face value + this (Gemma's norms: 1)
};

// Values GGUF files carry beside the weights (llama's rope_freqs).
struct GgufExtraTensor {
  std::string name;
  std::vector<float> values;
};

class Model {
 public:
  virtual ~Model() = default;

  virtual ModelInfo info() const = 0;
  virtual DecoderParts parts() const = 0;
  // One entry per program parameter.
  virtual std::vector<WeightSource> weights() const = 0;
  // A config.json that transformers reads, `dtype` excepted.
  virtual nlohmann::json hf_config() const = 0;
  // Architecture keys of a GGUF file ("llama.block_count" …), general.architecture first.
  virtual GgufMetadata gguf_metadata() const = 0;
  virtual std::vector<GgufExtraTensor> gguf_extra_tensors() const { return {}; }
  // Standard deviation of random matrices (init: random).
  virtual double initializer_range() const { return 0.02; }

  Program program(const BuildOptions& options) const { return assemble_decoder(parts(), options); }
};

// Reads `path`: a Hugging Face folder (config.json), a config.json file, or a GGUF file. Throws
// InvalidArgument or Corruption naming file and field, Unsupported listing the known families.
std::unique_ptr<Model> open_model(const std::string& path);

// Same from a parsed config.json; `file` is its name for messages.
std::unique_ptr<Model> model_from_hf_config(const nlohmann::json& config, const std::string& file);

// Rows per microbatch when the user names none: as many as keep it at 2,048 tokens, at least one,
// and a divisor of the global batch. Follows from sequence length and batch alone
// (docs/NUMERICS.md).
std::int64_t default_microbatch(std::int64_t sequence_length, std::int64_t global_batch);

}  // namespace outsize
