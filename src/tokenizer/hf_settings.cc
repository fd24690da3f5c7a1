// What tokenizer_config.json and generation_config.json say about special tokens.
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "formats/json.h"
#include "tokenizer/hf_tokenizer.h"

namespace outsize {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t kMaxTemplateBytes = 16 << 20;
constexpr TokenId kMaxId = std::numeric_limits<TokenId>::max() / 2;

// A token is written as its text or as an object with the text under "content".
std::string token_text(const JsonFields& fields, std::string_view field) {
  const json* value = fields.find(field);
  if (value == nullptr) return {};
  return value->is_object() ? fields.object(field).text("content") : fields.text(field);
}

// One template, or a list of named ones of which "default" counts.
std::string template_text(const JsonFields& fields) {
  const json* value = fields.find("chat_template");
  if (value == nullptr) return {};
  if (!value->is_array()) return fields.text("chat_template");
  for (const json& item : *value) {
    const JsonFields named(item, fields.file(), "chat_template.");
    if (named.text("name") == "default") return named.text("template");
  }
  return {};
}

void read_ids(const fs::path& path, HfSettings& settings) {
  if (!fs::exists(path)) return;
  const json root = read_json(path.string());
  const JsonFields fields(root, path.string());
  for (const std::int64_t id : fields.integers("eos_token_id")) {
    if (id < 0 || id > kMaxId) fields.fail_field("eos_token_id", "is out of range");
    settings.stops.push_back(static_cast<TokenId>(id));
  }
  if (settings.config_bos < 0) {
    settings.config_bos = static_cast<TokenId>(fields.integer_or("bos_token_id", -1, -1, kMaxId));
  }
}

}  // namespace

HfSettings read_hf_settings(const fs::path& folder) {
  HfSettings settings;
  const fs::path config = folder / "tokenizer_config.json";
  if (fs::exists(config)) {
    const json root = read_json(config.string());
    const JsonFields fields(root, config.string());
    settings.bos = token_text(fields, "bos_token");
    settings.eos = token_text(fields, "eos_token");
    settings.unk = token_text(fields, "unk_token");
    settings.pad = token_text(fields, "pad_token");
    if (fields.has("add_bos_token")) settings.add_bos = fields.boolean("add_bos_token") ? 1 : 0;
    settings.chat_template = template_text(fields);
  }
  const fs::path jinja = folder / "chat_template.jinja";
  if (fs::exists(jinja)) settings.chat_template = read_text(jinja.string(), kMaxTemplateBytes);
  read_ids(folder / "generation_config.json", settings);
  read_ids(folder / "config.json", settings);
  return settings;
}

}  // namespace outsize
