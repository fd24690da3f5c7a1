// What MODEL means on every command line: a Hugging Face folder, a GGUF file, a config.json (random
// weights, the tokenizer beside it) or a run folder.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "models/model.h"
#include "tokenizer/tokenizer.h"
#include "weights/weight_reader.h"

namespace outsize {

class ModelSource {
 public:
  // Reads configuration only. Throws as open_model.
  explicit ModelSource(const std::string& path);

  const std::string& path() const { return path_; }
  const Model& model() const { return *model_; }
  // The config.json to carry on export: the source's own, or one made from the GGUF keys.
  nlohmann::json hf_config() const;
  // Throws InvalidArgument when the source has none (a config.json alone).
  std::unique_ptr<Tokenizer> tokenizer() const;
  bool has_tokenizer() const;
  // Opens the weights and checks that every parameter is there. Throws InvalidArgument for a source
  // without weights.
  std::unique_ptr<WeightReader> weights() const;
  // Updates behind the weights of a run folder.
  std::optional<std::int64_t> run_step() const { return run_step_; }

  // Writes what a run folder keeps of its model: config.json and tokenizer, no weights.
  void carry_to(const std::string& folder) const;
  // Tokenizer files for a Hugging Face folder; tokenizer.* keys for a GGUF file.
  void write_hf_tokenizer(const std::string& folder) const;
  GgufMetadata gguf_tokenizer() const;

 private:
  std::unique_ptr<WeightReader> open_weights() const;
  // A folder with tokenizer.json, if there is one, or a GGUF file.
  std::filesystem::path tokenizer_path() const;

  enum class Kind { hf_folder, gguf, config_only, run };

  std::string path_;  // as given
  Kind kind_;
  std::string model_path_;  // where the configuration lies
  std::string checkpoint_;  // run folders; empty where a store has the state
  std::optional<std::int64_t> run_step_;
  std::unique_ptr<Model> model_;
};

}  // namespace outsize
