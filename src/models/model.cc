#include "models/model.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "models/family.h"

namespace outsize {

#define OUTSIZE_FAMILY(name) Family name##_family();
#include "models/families.inc"
#undef OUTSIZE_FAMILY

namespace {

const std::vector<Family>& families() {
  static const std::vector<Family> list = {
#define OUTSIZE_FAMILY(name) name##_family(),
#include "models/families.inc"
#undef OUTSIZE_FAMILY
  };
  return list;
}

std::string known_types() {
  std::string text;
  for (const Family& family : families())
    text += std::string(text.empty() ? "" : ", ") + family.model_type;
  return text;
}

std::unique_ptr<Model> from_gguf(const std::string& path) {
  const GgufFile file(path);
  const std::string architecture = file.text("general.architecture");
  for (const Family& family : families())
    if (architecture == family.gguf_architecture) return family.from_gguf(file);
  fail(ErrorKind::Unsupported,
       "[model] {}: architecture not built in; got '{}'; expected one of {}", path, architecture,
       known_types());
}

}  // namespace

std::unique_ptr<Model> model_from_hf_config(const nlohmann::json& config, const std::string& file) {
  const JsonFields fields(config, file);
  std::string type = fields.text("model_type");
  // Multimodal files keep the language model under text_config.
  if (const auto text = fields.object_or_none("text_config")) {
    const std::string inner = text->text_or("model_type", type);
    for (const Family& family : families())
      if (inner == family.model_type) return family.from_hf(*text);
  }
  for (const Family& family : families())
    if (type == family.model_type) return family.from_hf(fields);
  fail(ErrorKind::Unsupported, "[model] {}: model_type not built in; got '{}'; expected one of {}",
       file, type, known_types());
}

std::unique_ptr<Model> open_model(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    const std::string file = (fs::path(path) / "config.json").string();
    return model_from_hf_config(read_json(file), file);
  }
  if (!fs::exists(path, ignored))
    fail(ErrorKind::InvalidArgument,
         "[model] no such model; got '{}'; expected a Hugging Face folder, a GGUF file or a run "
         "folder",
         path);
  if (path.ends_with(".json")) return model_from_hf_config(read_json(path), path);
  return from_gguf(path);
}

std::int64_t default_microbatch(std::int64_t sequence_length, std::int64_t global_batch) {
  constexpr std::int64_t kTokens = 2048;
  std::int64_t rows = std::max<std::int64_t>(1, kTokens / sequence_length);
  rows = std::min(rows, global_batch);
  while (global_batch % rows != 0) --rows;
  return rows;
}

}  // namespace outsize
