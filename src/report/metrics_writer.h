// Where a run's numbers go: metrics.jsonl, and the same as TensorBoard scalars.
#pragma once

#include <cstdint>
#include <string>

#include "formats/tensorboard.h"
#include "report/metrics.h"

namespace outsize {

class MetricsWriter {
 public:
  // For a run that goes on after `last_step` updates (0: a fresh one): metrics.jsonl loses the
  // lines after it, TensorBoard gets a new event file. Throws as MetricsFile and TensorboardWriter.
  MetricsWriter(const std::string& metrics_path, const std::string& tensorboard_folder,
                std::int64_t last_step);

  // Throws Io.
  void write(const StepMetrics& metrics);
  void write(const EvaluationMetrics& metrics);
  // Makes the lines of metrics.jsonl durable; call before a checkpoint becomes so. Throws Io.
  void sync() { file_.sync(); }

 private:
  MetricsFile file_;
  TensorboardWriter events_;
};

}  // namespace outsize
