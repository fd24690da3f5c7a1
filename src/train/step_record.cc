#include "train/step_record.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "formats/json.h"

namespace outsize {
namespace {

StepMetrics metrics_from(const JsonFields& fields) {
  StepMetrics metrics;
  metrics.step = fields.integer("step", 1);
  metrics.loss = fields.number("loss");
  metrics.target_tokens = fields.integer("target_tokens", 1);
  metrics.tokens = fields.integer("tokens", 1);
  metrics.grad_norm = fields.number("grad_norm");
  metrics.lr = fields.number("lr");
  metrics.seconds = fields.number("seconds");
  if (fields.has("predicted_seconds"))
    metrics.predicted_seconds = fields.number("predicted_seconds");
  metrics.peak_rss_bytes = fields.integer("peak_rss_bytes", 0);
  return metrics;
}

}  // namespace

std::string to_text(const StepRecord& record) {
  const CheckpointInfo& info = record.info;
  nlohmann::json json = {
      {"step", info.step}, {"cursor", info.cursor}, {"threads", info.threads}, {"isa", info.isa}};
  if (record.metrics) json["metrics"] = nlohmann::json::parse(json_line(*record.metrics));
  return json.dump();
}

StepRecord parse_step_record(const std::string& text, const std::string& where) {
  try {
    const nlohmann::json json = parse_json(text, where);
    const JsonFields fields(json, where);
    StepRecord record{{fields.integer("step", 0), fields.text("cursor"),
                       static_cast<int>(fields.integer("threads", 1, 1 << 20)), fields.text("isa")},
                      std::nullopt};
    if (const auto metrics = fields.object_or_none("metrics"))
      record.metrics = metrics_from(*metrics);
    return record;
  } catch (const Error& error) {
    fail(ErrorKind::Corruption, "[run] {}: the record of the last step is damaged; {}", where,
         error.what());
  }
}

}  // namespace outsize
