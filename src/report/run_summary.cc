#include "report/run_summary.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/value.h"

namespace outsize {
namespace {

constexpr std::int64_t kRemembered = 10000;  // steps; a run may have millions

void keep(std::vector<float>& ring, std::int64_t index, double value) {
  if (index < kRemembered)
    ring.push_back(static_cast<float>(value));
  else
    ring[static_cast<size_t>(index % kRemembered)] = static_cast<float>(value);
}

double median(std::vector<float> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return static_cast<double>(*middle);
}

std::string error_of(double foretold, double measured) {
  return fmt::format("({:+.1f} %)", 100 * (foretold / measured - 1));
}

}  // namespace

void RunSummary::add(double seconds, std::optional<double> foretold) {
  if (steps_ > 0) {
    keep(seconds_, steps_ - 1, seconds);
    if (foretold) keep(foretold_, steps_ - 1, *foretold);
  }
  ++steps_;
}

std::string RunSummary::text(std::int64_t peak_bytes, std::int64_t planned_bytes) const {
  std::string text = fmt::format("{} steps", steps_);
  if (!seconds_.empty()) {
    const double measured = median(seconds_);
    text += fmt::format(", median {:.2f} s", measured);
    if (!foretold_.empty() && measured > 0) {
      const double foretold = median(foretold_);
      text += fmt::format(", foretold {:.2f} s {}", foretold, error_of(foretold, measured));
    }
  }
  if (peak_bytes > 0)
    text += fmt::format(
        "; peak memory {}, planned {} {}", show_size(peak_bytes), show_size(planned_bytes),
        error_of(static_cast<double>(planned_bytes), static_cast<double>(peak_bytes)));
  return text;
}

}  // namespace outsize
