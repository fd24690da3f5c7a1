#include "formats/line_chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

namespace outsize {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Place {
  double x, y;
};

std::vector<Place> circles_of(const std::string& svg) {
  std::vector<Place> places;
  const std::regex circle("<circle cx=\"([0-9.]+)\" cy=\"([0-9.]+)\"");
  for (std::sregex_iterator it(svg.begin(), svg.end(), circle), end; it != end; ++it)
    places.push_back({std::stod((*it)[1]), std::stod((*it)[2])});
  return places;
}

TEST(LineChart, PointsStandWhereTheirNumbersSay) {
  LineChart chart{.title = "a <b> & c", .x_name = "GiB", .y_name = "s"};
  chart.points = {{1, 30, "first"}, {2, 20, "second"}, {4, 15, "x < y"}};
  chart.level = 10;
  chart.level_name = "floor";
  const std::string svg = line_chart_svg(chart);
  const std::vector<Place> at = circles_of(svg);
  ASSERT_EQ(at.size(), 3u);
  EXPECT_NEAR(at[2].x - at[1].x, 2 * (at[1].x - at[0].x), 0.2);  // to the printed tenth
  EXPECT_NEAR(at[1].y - at[0].y, 2 * (at[2].y - at[1].y), 0.2);  // up is less
  EXPECT_GT(at[1].y, at[0].y);
  EXPECT_THAT(svg, HasSubstr("a &lt;b> &amp; c"));
  EXPECT_THAT(svg, HasSubstr("x &lt; y"));
  EXPECT_THAT(svg, HasSubstr("floor"));
  EXPECT_EQ(svg, line_chart_svg(chart));
}

TEST(LineChart, OnePointAndSmallNumbersAreFine) {
  LineChart chart{.title = "t", .x_name = "x", .y_name = "y"};
  chart.points = {{0.004, 2e-5, ""}};
  const std::string svg = line_chart_svg(chart);
  EXPECT_EQ(circles_of(svg).size(), 1u);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("dasharray")));
}

}  // namespace
}  // namespace outsize
