#include "report/metrics.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"
#include "core/room.h"
#include "formats/json.h"

namespace outsize {
namespace {

constexpr std::size_t kMaxLineBytes = 64 * 1024;  // our lines have about 250
constexpr std::size_t kChunkBytes = std::size_t{1} << 20;

std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : "null";
}

// The step of one line; empty when the line is no object with one.
std::optional<std::int64_t> step_of(std::string_view line, const std::string& place) {
  try {
    const nlohmann::json value = parse_json(line, place, {.max_bytes = kMaxLineBytes});
    const auto step = value.is_object() ? value.find("step") : value.end();
    if (step == value.end() || !step->is_number_integer()) return std::nullopt;
    return step->get<std::int64_t>();
  } catch (const Error&) {
    return std::nullopt;
  }
}

// Calls visit(line, whole) for every line; whole is false for a last one without its line feed.
template <class Visit>
void for_each_line(const File& file, Visit&& visit) {
  std::string pending;
  for (std::uint64_t offset = 0; offset < file.size();) {
    const std::size_t bytes = std::min<std::uint64_t>(kChunkBytes, file.size() - offset);
    const std::size_t old = pending.size();
    pending.resize(old + bytes);
    file.read_at(offset, pending.data() + old, bytes);
    offset += bytes;
    std::size_t begin = 0;
    for (std::size_t end = pending.find('\n', begin); end != std::string::npos;
         end = pending.find('\n', begin)) {
      visit(std::string_view(pending).substr(begin, end - begin), true);
      begin = end + 1;
    }
    pending.erase(0, begin);
    if (pending.size() > kMaxLineBytes) break;  // no line of ours: reported as one that is torn
  }
  if (!pending.empty()) visit(std::string_view(pending), false);
}

}  // namespace

std::string json_line(const StepMetrics& m) {
  return fmt::format(
      R"({{"step": {}, "loss": {}, "target_tokens": {}, "tokens": {}, "grad_norm": {}, "lr": {}, )"
      R"("seconds": {}, "predicted_seconds": {}, "peak_rss_bytes": {}}})",
      m.step, number(m.loss), m.target_tokens, m.tokens, number(m.grad_norm), number(m.lr),
      number(m.seconds), m.predicted_seconds ? number(*m.predicted_seconds) : "null",
      m.peak_rss_bytes);
}

std::string json_line(const EvaluationMetrics& m) {
  return fmt::format(R"({{"step": {}, "validation_loss": {}, "target_tokens": {}, "seconds": {}}})",
                     m.step, number(m.validation_loss), m.target_tokens, number(m.seconds));
}

void keep_metrics_until(const std::string& path, std::int64_t last_step) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 && errno == ENOENT) return;
  const File old = File::open(path);
  AtomicFile kept(path);
  std::int64_t line_number = 0;
  for_each_line(old, [&](std::string_view line, bool whole) {
    ++line_number;
    const std::string place = fmt::format("{}:{}", path, line_number);
    const auto step = step_of(line, place);
    if (!step && !whole && line.size() <= kMaxLineBytes) return;
    if (!step)
      fail(ErrorKind::Corruption,
           "[{}] not a line of metrics; expected an object with a whole number \"step\"; try "
           "moving the file away",
           place);
    if (*step > last_step) return;
    kept.write(line.data(), line.size());
    kept.write("\n", 1);
  });
  kept.commit();
}

MetricsFile::MetricsFile(const std::string& path, std::int64_t last_step) : path_(path) {
  keep_metrics_until(path, last_step);
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0)
    fail(ErrorKind::Io, "[metrics] cannot open '{}'; got: {}", path, std::strerror(errno));
}

MetricsFile::~MetricsFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void MetricsFile::write(const StepMetrics& metrics) {
  append(json_line(metrics));
}

void MetricsFile::write(const EvaluationMetrics& metrics) {
  append(json_line(metrics));
}

void MetricsFile::sync() {
  if (::fsync(descriptor_) != 0)
    fail(ErrorKind::Io, "[metrics] cannot synchronise '{}'; got: {}", path_, std::strerror(errno));
}

void MetricsFile::append(std::string line) {
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t put = ::write(descriptor_, rest.data(), rest.size());
    const int error = put < 0 ? errno : 0;
    if (error == EINTR || (is_no_space(error) && wait_for_room(path_, rest.size()))) continue;
    if (error != 0)
      fail(ErrorKind::Io, "[metrics] cannot write to '{}'; got: {}", path_, std::strerror(error));
    rest.remove_prefix(static_cast<std::size_t>(put));
  }
}

}  // namespace outsize
