#include "report/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "config/value.h"
#include "core/clock.h"

namespace outsize {
namespace {

constexpr double kFade = 0.9;           // weight of the past per step
constexpr double kRedrawSeconds = 0.1;  // faster is flicker, not news
constexpr double kPlainSeconds = 5;
constexpr int kDefaultColumns = 80;
constexpr std::string_view kClearToEnd = "\x1b[K";

// A part of the line; higher ranks are dropped first where the terminal is narrow.
struct Part {
  std::string text;
  int rank;
};

std::string with_thousands(double value) {
  const std::string digits = fmt::format("{:.0f}", value);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string show_rate(double per_second) {
  return per_second < 100 ? fmt::format("{:.1f}", per_second) : with_thousands(per_second);
}

std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string join(const std::vector<Part>& parts, int highest_rank) {
  std::string text;
  for (const Part& part : parts) {
    if (part.rank > highest_rank) continue;
    if (!text.empty()) text += "  ";
    text += part.text;
  }
  return text;
}

void write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(descriptor, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return;
    text.remove_prefix(static_cast<std::size_t>(put));
  }
}

}  // namespace

int terminal_columns(int descriptor) {
  if (const char* text = std::getenv("COLUMNS")) {
    const auto columns = parse_integer(text);
    if (columns && *columns > 0 && *columns < 100000) return static_cast<int>(*columns);
  }
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return kDefaultColumns;
}

ProgressOptions progress_to(int descriptor) {
  ProgressOptions options;
  const char* term = std::getenv("TERM");
  options.live = ::isatty(descriptor) == 1 && term != nullptr && std::string_view(term) != "dumb";
  options.write = [descriptor](std::string_view text) { write_all(descriptor, text); };
  options.columns = [descriptor] { return terminal_columns(descriptor); };
  options.now = seconds_now;
  return options;
}

std::string show_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e10) return "unknown";
  if (seconds < 99.5) return fmt::format("{:.0f} s", seconds);
  const auto minutes = static_cast<std::int64_t>(std::llround(seconds / 60));
  if (minutes < 100) return fmt::format("{} min", minutes);
  const std::int64_t hours = minutes / 60;
  if (hours < 48) return fmt::format("{} h {:02} min", hours, minutes % 60);
  return fmt::format("{} d {} h", hours / 24, hours % 24);
}

void Progress::Smoothed::add(double value) {
  if (!std::isfinite(value)) return;  // one NaN must not hide all that follows
  sum = kFade * sum + (1 - kFade) * value;
  weight = kFade * weight + (1 - kFade);
}

Progress::Progress(ProgressOptions options) : options_(std::move(options)) {}

std::string Progress::line(const ProgressStep& step, int columns) const {
  std::vector<Part> parts;
  parts.push_back({fmt::format("step {}/{}", step.step, options_.total_steps), 0});
  // A loss that is no number is the news; smoothing would hide it.
  const double loss = std::isfinite(step.loss) ? loss_.mean() : step.loss;
  parts.push_back({fmt::format("loss {:.4f}", loss), 1});
  if (seconds_.mean() > 0)
    parts.push_back({show_rate(tokens_.mean() / seconds_.mean()) + " tok/s", 3});
  if (step.gemm_share)
    parts.push_back({fmt::format("{:.0f}% of GEMM", 100 * gemm_share_.mean()), 5});
  std::string time = fmt::format("{:.2f} s/step", seconds_.mean());
  if (step.predicted_seconds) time += fmt::format(" (plan {:.2f})", predicted_.mean());
  parts.push_back({time, 4});
  const std::int64_t left = std::max<std::int64_t>(options_.total_steps - step.step, 0);
  parts.push_back({show_duration(static_cast<double>(left) * seconds_.mean()) + " left", 2});
  constexpr int kHighestRank = 5;
  for (int rank = kHighestRank; rank > 0; --rank)
    if (std::string text = join(parts, rank); width_of(text) <= static_cast<std::size_t>(columns))
      return text;
  return parts[0].text.substr(0, static_cast<std::size_t>(std::max(columns, 0)));
}

bool Progress::due(const ProgressStep& step, double now) const {
  if (step.step >= options_.total_steps || !drawn_at_) return true;
  if (options_.live) return now - *drawn_at_ >= kRedrawSeconds;
  if (options_.log_every > 0) return step.step % options_.log_every == 0;
  return now - *drawn_at_ >= kPlainSeconds;
}

void Progress::draw(const ProgressStep& step, double now) {
  drawn_at_ = now;
  drawn_last_ = true;
  if (!options_.live) {
    options_.write(line(step, 1 << 20) + "\n");
    return;
  }
  // The last column stays empty: writing it makes some terminals wrap.
  const int columns = options_.columns() - 1;
  // One write, new text over old, rest of the line cleared last: nothing ever blinks.
  options_.write(fmt::format("\r{}{}", line(step, columns), kClearToEnd));
  standing_ = true;
}

void Progress::step(const ProgressStep& step) {
  const std::lock_guard lock(mutex_);
  loss_.add(step.loss);
  tokens_.add(static_cast<double>(step.tokens));
  seconds_.add(step.seconds);
  if (step.gemm_share) gemm_share_.add(*step.gemm_share);
  if (step.predicted_seconds) predicted_.add(*step.predicted_seconds);
  last_ = step;
  drawn_last_ = false;
  const double now = options_.now();
  if (due(step, now)) draw(step, now);
}

void Progress::note(std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (!standing_) {
    options_.write(fmt::format("{}\n", text));
    return;
  }
  options_.write(fmt::format("\r{}{}\n", text, kClearToEnd));
  standing_ = false;
  if (last_) draw(*last_, options_.now());
}

void Progress::finish() {
  const std::lock_guard lock(mutex_);
  if (last_ && !drawn_last_) draw(*last_, options_.now());
  if (standing_) options_.write("\n");
  standing_ = false;
}

}  // namespace outsize
