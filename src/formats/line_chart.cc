#include "formats/line_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace outsize {
namespace {

// Pixels: of the picture, and of the margins around the curve.
constexpr double kWidth = 760, kHeight = 420;
constexpr double kLeft = 70, kRight = 30, kTop = 50, kBottom = 60;

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else
      result += c;
  }
  return result;
}

// 1, 2 or 5 times a power of ten, so that an axis gets at most eight.
double tick_of(double largest) {
  constexpr double kMostTicks = 8;
  const double power = std::pow(10, std::floor(std::log10(largest / kMostTicks)));
  for (const double digit : {1.0, 2.0, 5.0})
    if (largest / (digit * power) <= kMostTicks) return digit * power;
  return 10 * power;
}

class Drawing {
 public:
  explicit Drawing(const LineChart& chart) : chart_(chart) {
    double x = 0, y = chart.level;
    for (const ChartPoint& point : chart.points) {
      x = std::max(x, point.x);
      y = std::max(y, point.y);
    }
    x_tick_ = tick_of(std::max(x, 1e-9));
    y_tick_ = tick_of(std::max(y, 1e-9));
    x_ticks_ = std::ceil(x / x_tick_);
    y_ticks_ = std::ceil(y / y_tick_);
  }

  std::string run() {
    text_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        kWidth, kHeight);
    words(kLeft, 24, "start", chart_.title, " font-weight=\"bold\"");
    axes();
    if (chart_.level > 0) level();
    curve();
    return text_ + "</svg>\n";
  }

 private:
  double across(double x) const {
    return kLeft + x / (x_ticks_ * x_tick_) * (kWidth - kLeft - kRight);
  }
  double up(double y) const {
    return kHeight - kBottom - y / (y_ticks_ * y_tick_) * (kHeight - kTop - kBottom);
  }

  void words(double x, double y, const char* anchor, const std::string& what,
             const char* more = "") {
    text_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y,
                         anchor, more, escaped(what));
  }

  void line(double x1, double y1, double x2, double y2, const char* style) {
    text_ += fmt::format("<path d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\" {}/>\n", x1, y1, x2, y2, style);
  }

  void axes() {
    constexpr const char* kGrid = "stroke=\"#dddddd\"";
    for (int i = 0; i <= static_cast<int>(x_ticks_); ++i) {
      const double x = across(i * x_tick_);
      line(x, kTop, x, kHeight - kBottom, kGrid);
      words(x, kHeight - kBottom + 18, "middle", fmt::format("{:g}", i * x_tick_));
    }
    for (int i = 0; i <= static_cast<int>(y_ticks_); ++i) {
      const double y = up(i * y_tick_);
      line(kLeft, y, kWidth - kRight, y, kGrid);
      words(kLeft - 8, y + 4, "end", fmt::format("{:g}", i * y_tick_));
    }
    words((kLeft + kWidth - kRight) / 2, kHeight - 16, "middle", chart_.x_name);
    words(kLeft, kTop - 8, "middle", chart_.y_name);
  }

  void level() {
    const double y = up(chart_.level);
    line(kLeft, y, kWidth - kRight, y, "stroke=\"#f0a060\" stroke-dasharray=\"6 4\"");
    words(kLeft + 6, y + 16, "start", chart_.level_name, " fill=\"#c07020\"");
  }

  void curve() {
    std::string path;
    for (const ChartPoint& point : chart_.points)
      path +=
          fmt::format("{}{:.1f} {:.1f}", path.empty() ? 'M' : 'L', across(point.x), up(point.y));
    text_ +=
        fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"#305080\" stroke-width=\"2\"/>\n", path);
    for (const ChartPoint& point : chart_.points)
      text_ += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"#305080\"><title>{}</title>"
          "</circle>\n",
          across(point.x), up(point.y), escaped(point.label));
  }

  const LineChart& chart_;
  double x_tick_ = 1, y_tick_ = 1, x_ticks_ = 1, y_ticks_ = 1;
  std::string text_;
};

}  // namespace

std::string line_chart_svg(const LineChart& chart) {
  return Drawing(chart).run();
}

}  // namespace outsize
