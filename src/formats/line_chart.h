// One curve as a picture that browsers show (SVG): axes from zero, points joined by lines.
#pragma once

#include <string>
#include <vector>

namespace outsize {

struct ChartPoint {
  double x = 0, y = 0;  // from 0
  std::string label;    // shown while a pointer rests on it
};

struct LineChart {
  std::string title, x_name, y_name;
  std::vector<ChartPoint> points;  // x ascends; at least one
  double level = 0;                // a dashed line to compare with; 0: none
  std::string level_name;
};

// The same chart gives the same text.
std::string line_chart_svg(const LineChart& chart);

}  // namespace outsize
