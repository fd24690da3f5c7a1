#include "report/metrics_writer.h"

#include <array>
#include <chrono>

namespace outsize {
namespace {

double seconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

}  // namespace

MetricsWriter::MetricsWriter(const std::string& metrics_path, const std::string& tensorboard_folder,
                             std::int64_t last_step)
    : file_(metrics_path, last_step), events_(tensorboard_folder) {}

void MetricsWriter::write(const StepMetrics& metrics) {
  file_.write(metrics);
  const double rate =
      metrics.seconds > 0 ? static_cast<double>(metrics.tokens) / metrics.seconds : 0;
  const std::array<ScalarEvent, 5> scalars{
      {{"train/loss", static_cast<float>(metrics.loss)},
       {"train/grad_norm", static_cast<float>(metrics.grad_norm)},
       {"train/lr", static_cast<float>(metrics.lr)},
       {"speed/tokens_per_second", static_cast<float>(rate)},
       {"memory/peak_rss_bytes", static_cast<float>(metrics.peak_rss_bytes)}}};
  events_.write(metrics.step, seconds_since_1970(), scalars);
}

void MetricsWriter::write(const EvaluationMetrics& metrics) {
  file_.write(metrics);
  const std::array<ScalarEvent, 1> scalars{
      {{"validation/loss", static_cast<float>(metrics.validation_loss)}}};
  events_.write(metrics.step, seconds_since_1970(), scalars);
}

}  // namespace outsize
