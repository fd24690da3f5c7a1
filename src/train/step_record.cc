#include "train/step_record.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "formats/json.h"

namespace outsize {

std::string to_text(const CheckpointInfo& info) {
  return nlohmann::json{
      {"step", info.step}, {"cursor", info.cursor}, {"threads", info.threads}, {"isa", info.isa}}
      .dump();
}

CheckpointInfo parse_step_record(const std::string& text, const std::string& where) {
  try {
    const nlohmann::json json = parse_json(text, where);
    const JsonFields fields(json, where);
    return {fields.integer("step", 0), fields.text("cursor"),
            static_cast<int>(fields.integer("threads", 1, 1 << 20)), fields.text("isa")};
  } catch (const Error& error) {
    fail(ErrorKind::Corruption, "[run] {}: the record of the last step is damaged; {}", where,
         error.what());
  }
}

}  // namespace outsize
