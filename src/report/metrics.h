// metrics.jsonl: one JSON object per line, one line per step, and a line per evaluation. A resumed
// run drops the lines after the step it resumes from, so that every step stands there exactly once.
// docs of the fields: StepMetrics and EvaluationMetrics below, names as in the file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace outsize {

struct StepMetrics {
  std::int64_t step = 0;           // updates made, this one included: the first is 1
  double loss = 0;                 // nats per target token of the global batch
  std::int64_t target_tokens = 0;  // of the global batch
  std::int64_t tokens = 0;         // of the global batch, padding left out
  double grad_norm = 0;            // global, before clipping
  double lr = 0;
  double seconds = 0;  // wall time of the step
  std::optional<double> predicted_seconds;
  std::int64_t peak_rss_bytes = 0;
};

struct EvaluationMetrics {
  std::int64_t step = 0;  // after this many updates
  double validation_loss = 0;
  std::int64_t target_tokens = 0;
  double seconds = 0;
};

// The lines, without line feed. Numbers read back to the same bits; infinities and NaN, which JSON
// does not have, become null.
std::string json_line(const StepMetrics& metrics);
std::string json_line(const EvaluationMetrics& metrics);

// Rewrites the file, at once or not at all, without the lines after `last_step` and without a last
// line that a crash left torn. A missing file stays missing. Throws Corruption naming the line when
// another one is no JSON object with a step, Io when the file cannot be rewritten.
void keep_metrics_until(const std::string& path, std::int64_t last_step);

// Appends lines. One writer per file (the run folder's lock sees to it).
class MetricsFile {
 public:
  // Opens for a run that goes on after `last_step` (0: a fresh run; older lines go). Throws as
  // keep_metrics_until.
  MetricsFile(const std::string& path, std::int64_t last_step);
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;
  ~MetricsFile();

  // A line is in the file, whole, when these return. Throws Io.
  void write(const StepMetrics& metrics);
  void write(const EvaluationMetrics& metrics);
  // Makes the lines durable; call before a checkpoint becomes durable, or a power failure could
  // leave a checkpoint with a hole in its history. Throws Io.
  void sync();

 private:
  void append(std::string line);

  std::string path_;
  int descriptor_ = -1;
};

}  // namespace outsize
