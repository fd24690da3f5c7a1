#include "train/step_record.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "formats/json.h"

namespace outsize {

std::string to_text(const StepRecord& record) {
  nlohmann::json json = {{"step", record.info.step},
                         {"cursor", record.info.cursor},
                         {"threads", record.info.threads},
                         {"isa", record.info.isa}};
  if (record.metrics) json["metrics"] = json_line(*record.metrics);
  return json.dump();
}

StepRecord parse_step_record(const std::string& text, const std::string& where) {
  try {
    const nlohmann::json json = parse_json(text, where);
    const JsonFields fields(json, where);
    StepRecord record;
    record.info = {fields.integer("step", 0), fields.text("cursor"),
                   static_cast<int>(fields.integer("threads", 1, 1 << 20)), fields.text("isa")};
    if (fields.has("metrics")) record.metrics = parse_step_line(fields.text("metrics"), where);
    return record;
  } catch (const Error& error) {
    fail(ErrorKind::Corruption, "[run] {}: the record of the last step is damaged; {}", where,
         error.what());
  }
}

}  // namespace outsize
