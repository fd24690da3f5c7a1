#include "train/memory_curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "core/clock.h"
#include "core/error.h"
#include "formats/line_chart.h"
#include "train/run_setup.h"
#include "train/show_plan.h"

namespace outsize {
namespace {

constexpr double kGiB = 1 << 30;

// Of `count` points in equal ratios from the first to the last.
std::int64_t budget_at(const Trial& first, const Trial& last, int point, int count) {
  const double ratio =
      static_cast<double>(last.memory_bytes) / static_cast<double>(first.memory_bytes);
  const double bytes = static_cast<double>(first.memory_bytes) *
                       std::pow(ratio, static_cast<double>(point) / (count - 1));
  constexpr std::int64_t kMiB = 1 << 20;
  return static_cast<std::int64_t>(bytes) / kMiB * kMiB;
}

// In the middle of the widest gap; 0: there is none.
int next_point(const std::map<int, Trial>& known) {
  int widest = 1, middle = 0;
  for (auto at = known.begin(); std::next(at) != known.end(); ++at) {
    const int gap = std::next(at)->first - at->first;
    if (gap <= widest) continue;
    widest = gap;
    middle = at->first + gap / 2;
  }
  return middle;
}

std::string gib(std::int64_t bytes) {
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / kGiB);
}

double resident_share(const MemoryCurve& curve, const Trial& point) {
  return curve.points.back().seconds / point.seconds;
}

}  // namespace

MemoryCurve memory_curve(const Trials& trials, const CurveOptions& options) {
  if (!trials.timed())
    fail(ErrorKind::InvalidArgument,
         "[plan] a curve needs foretold times; got no machine file; try `outsize profile`");
  const double start = seconds_now();
  MemoryCurve curve;
  const TrainingShape shape = training_shape(trials.config());
  curve.tokens = shape.rows * shape.accumulation * shape.sequence_length;
  options.report("the smallest budget");
  const Trial smallest = trials.smallest(), resident = trials.resident();
  if (smallest.memory_bytes >= resident.memory_bytes) {
    curve.points = {resident};
    return curve;
  }
  std::map<int, Trial> known = {{0, smallest}, {options.points - 1, resident}};
  for (int point = next_point(known); point > 0; point = next_point(known)) {
    curve.whole = seconds_now() - start < options.seconds;
    if (!curve.whole) break;
    const std::int64_t memory = budget_at(smallest, resident, point, options.points);
    options.report(
        fmt::format("{}, point {} of {}", gib(memory), known.size() + 1, options.points));
    known[point] = trials.plan_with(memory);
  }
  for (const auto& [point, trial] : known)
    if (trial.fits) curve.points.push_back(trial);
  return curve;
}

std::string describe(const MemoryCurve& curve) {
  std::string text =
      fmt::format("{:>10}{:>12}{:>10}{:>13}{:>12}{:>15}  {}\n", "budget", "s per step", "tok/s",
                  "of resident", "read/step", "written/step", "plan");
  for (const Trial& point : curve.points)
    text += fmt::format(
        "{:>10}{:>12.2f}{:>10.1f}{:>13.2f}{:>12}{:>15}  {}\n", gib(point.memory_bytes),
        point.seconds, static_cast<double>(curve.tokens) / point.seconds,
        resident_share(curve, point), show_bytes(static_cast<std::int64_t>(point.read_bytes)),
        show_bytes(static_cast<std::int64_t>(point.written_bytes)), point.way);
  if (!curve.whole) text += "fewer points than usual: planning this model takes long\n";
  return text;
}

nlohmann::json to_json(const MemoryCurve& curve) {
  nlohmann::json points = nlohmann::json::array();
  for (const Trial& point : curve.points)
    points.push_back({{"memory_bytes", point.memory_bytes},
                      {"peak_bytes", point.peak_bytes},
                      {"step_seconds", point.seconds},
                      {"tokens_per_second", static_cast<double>(curve.tokens) / point.seconds},
                      {"resident_share", resident_share(curve, point)},
                      {"read_bytes_per_step", point.read_bytes},
                      {"written_bytes_per_step", point.written_bytes},
                      {"plan", point.way}});
  return {{"points", points}, {"whole", curve.whole}};
}

std::string to_svg(const MemoryCurve& curve, const std::string& title) {
  LineChart chart{.title = title, .x_name = "memory budget, GiB", .y_name = "seconds per step"};
  for (const Trial& point : curve.points)
    chart.points.push_back(
        {static_cast<double>(point.memory_bytes) / kGiB, point.seconds,
         fmt::format("{}: {:.2f} s, {}", gib(point.memory_bytes), point.seconds, point.way)});
  chart.level = curve.points.back().seconds;
  chart.level_name = "all in RAM";
  return line_chart_svg(chart);
}

}  // namespace outsize
