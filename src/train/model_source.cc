#include "train/model_source.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"
#include "formats/gguf_writer.h"
#include "report/run_folder.h"
#include "tokenizer/tokenizer_export.h"
#include "train/store_weights.h"
#include "weights/checkpoint.h"
#include "weights/export.h"

namespace outsize {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCarriedTokenizer = "tokenizer.gguf";  // a GGUF file without tensors

bool is_gguf(const std::string& path) {
  return !fs::is_directory(path) && !path.ends_with(".json");
}

}  // namespace

ModelSource::ModelSource(const std::string& path) : path_(path), model_path_(path) {
  std::error_code ignored;
  if (is_run_folder(path)) {
    kind_ = Kind::run;
    model_path_ = path + "/model";
    run_step_ = stored_step_of(path);
    if (!run_step_) {
      run_step_ = latest_checkpoint_of(path);
      if (!run_step_)
        fail(ErrorKind::InvalidArgument,
             "[model] {}: the run has no checkpoint yet; try again after train.save_every steps",
             path);
      checkpoint_ = path + "/checkpoints/step-" + std::to_string(*run_step_);
    }
  } else if (fs::is_directory(path, ignored)) {
    kind_ = Kind::hf_folder;
  } else {
    kind_ = path.ends_with(".json") ? Kind::config_only : Kind::gguf;
  }
  model_ = open_model(model_path_);
}

nlohmann::json ModelSource::hf_config() const {
  if (kind_ == Kind::gguf) {
    nlohmann::json json = model_->hf_config();
    const GgufFile file(model_path_);
    for (const auto& [field, key] : {std::pair{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                                     std::pair{"eos_token_id", "tokenizer.ggml.eos_token_id"},
                                     std::pair{"pad_token_id", "tokenizer.ggml.padding_token_id"}})
      if (file.has(key)) json[field] = file.integer(key);
    return json;
  }
  return read_json(kind_ == Kind::config_only ? model_path_ : model_path_ + "/config.json");
}

fs::path ModelSource::tokenizer_path() const {
  if (kind_ == Kind::gguf) return model_path_;
  fs::path folder = model_path_;
  if (kind_ == Kind::config_only) folder = fs::absolute(folder).parent_path();
  const fs::path carried = folder / kCarriedTokenizer;
  return fs::exists(carried) ? carried : folder;
}

bool ModelSource::has_tokenizer() const {
  const fs::path path = tokenizer_path();
  return is_gguf(path) || fs::exists(path / "tokenizer.json");
}

std::unique_ptr<Tokenizer> ModelSource::tokenizer() const {
  if (!has_tokenizer())
    fail(ErrorKind::InvalidArgument,
         "[model] {}: no tokenizer; expected tokenizer.json beside config.json, or a GGUF file",
         path_);
  return load_tokenizer(tokenizer_path());
}

std::unique_ptr<WeightReader> ModelSource::open_weights() const {
  if (kind_ == Kind::gguf) return open_gguf_weights(model_path_);
  if (kind_ == Kind::hf_folder) return open_hf_weights(model_path_);
  return checkpoint_.empty() ? open_store_weights(path_) : open_checkpoint_weights(checkpoint_);
}

std::unique_ptr<WeightReader> ModelSource::weights() const {
  if (kind_ == Kind::config_only)
    fail(ErrorKind::InvalidArgument,
         "[model] {}: a configuration without weights; try init: random, or the model's folder",
         path_);
  std::unique_ptr<WeightReader> reader = open_weights();
  std::map<std::string, Shape> shapes;
  for (const ProgramParameter& parameter : parameters_of(*model_, DType::f32))
    shapes[parameter.name] = parameter.type.shape;
  for (const WeightSource& source : model_->weights())
    reader->check(source, shapes.at(source.parameter));
  return reader;
}

void ModelSource::carry_to(const std::string& folder) const {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(ErrorKind::Io, "[run] {}: cannot be created; got '{}'", folder, error.message());
  write_text_atomically(folder + "/config.json", hf_config().dump(2) + "\n");
  if (!has_tokenizer()) return;
  if (is_gguf(tokenizer_path())) {
    GgufMetadata metadata = {{"general.architecture", GgufValue::of_text(model_->info().family)}};
    const GgufMetadata carried = gguf_tokenizer();
    metadata.insert(metadata.end(), carried.begin(), carried.end());
    GgufWriter(folder + "/" + kCarriedTokenizer, metadata, {}).finish();
  } else {
    write_hf_tokenizer(folder);
  }
}

void ModelSource::write_hf_tokenizer(const std::string& folder) const {
  if (has_tokenizer()) export_tokenizer_to_hf(tokenizer_path(), folder);
}

GgufMetadata ModelSource::gguf_tokenizer() const {
  if (!has_tokenizer()) return {};
  return tokenizer_gguf_metadata(tokenizer_path(), model_->info().vocabulary);
}

}  // namespace outsize
