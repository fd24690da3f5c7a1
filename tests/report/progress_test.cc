#include "report/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <vector>

namespace outsize {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// A terminal that remembers what was written, and a clock that a test moves.
struct Screen {
  std::vector<std::string> writes;
  double time = 0;
  int width = 120;

  ProgressOptions options(bool live, std::int64_t total) {
    ProgressOptions options;
    options.total_steps = total;
    options.live = live;
    options.write = [this](std::string_view text) { writes.emplace_back(text); };
    options.now = [this] { return time; };
    options.columns = [this] { return width; };
    return options;
  }
};

ProgressStep at(std::int64_t step) {
  ProgressStep progress;
  progress.step = step;
  progress.loss = 2;
  progress.tokens = 1000;
  progress.seconds = 0.5;
  return progress;
}

TEST(Progress, LiveLineIsRedrawnInPlaceInOneWrite) {
  Screen screen;
  Progress progress(screen.options(true, 100));
  for (int step = 1; step <= 3; ++step) {
    progress.step(at(step));
    screen.time += 1;
  }
  ASSERT_EQ(screen.writes.size(), 3u);
  for (const std::string& text : screen.writes) {
    EXPECT_THAT(text, StartsWith("\rstep "));
    EXPECT_THAT(text, EndsWith("\x1b[K"));
    EXPECT_THAT(text, Not(HasSubstr("\n")));
  }
  EXPECT_THAT(screen.writes[2],
              HasSubstr("step 3/100  loss 2.0000  2,000 tok/s  0.50 s/step  48 s left"));
  progress.finish();
  EXPECT_EQ(screen.writes.back(), "\n");
  progress.finish();
  EXPECT_EQ(screen.writes.size(), 4u);
}

TEST(Progress, FastStepsAreNotAllDrawnButTheLastIs) {
  Screen screen;
  {
    Progress progress(screen.options(true, 1000));
    for (int step = 1; step <= 1000; ++step) {
      progress.step(at(step));
      screen.time += 0.001;
    }
  }
  EXPECT_LT(screen.writes.size(), 20u);
  EXPECT_THAT(screen.writes[screen.writes.size() - 2], HasSubstr("step 1000/1000"));
}

TEST(Progress, InterruptedRunEndsWithItsLastStep) {
  Screen screen;
  {
    Progress progress(screen.options(true, 1000));
    for (int step = 1; step <= 7; ++step) progress.step(at(step));
  }
  EXPECT_THAT(screen.writes[screen.writes.size() - 2], HasSubstr("step 7/1000"));
}

TEST(Progress, NarrowTerminalsDropPartsNeverWrap) {
  Screen screen;
  Progress progress(screen.options(true, 100));
  ProgressStep step = at(1);
  step.gemm_share = 0.55;
  step.predicted_seconds = 0.4;
  progress.step(step);
  EXPECT_THAT(screen.writes.back(), HasSubstr("55% of GEMM  0.50 s/step (plan 0.40)"));
  for (screen.width = 1; screen.width < 120; ++screen.width) {
    screen.time += 1;
    progress.step(step);
    const std::string& text = screen.writes.back();
    EXPECT_LT(text.size() - 4, static_cast<std::size_t>(screen.width)) << text;
  }
  screen.width = 80;  // what was foretold comes before the share of a peak
  screen.time += 1;
  progress.step(step);
  EXPECT_THAT(screen.writes.back(), HasSubstr("0.50 s/step (plan 0.40)"));
  EXPECT_THAT(screen.writes.back(), Not(HasSubstr("GEMM")));
  screen.width = 30;
  screen.time += 1;
  progress.step(step);
  EXPECT_THAT(screen.writes.back(), HasSubstr("loss"));
  EXPECT_THAT(screen.writes.back(), Not(HasSubstr("GEMM")));
}

TEST(Progress, PlainLinesByTimeOrByStep) {
  Screen screen;
  {
    Progress progress(screen.options(false, 100));
    for (int step = 1; step <= 100; ++step) {
      progress.step(at(step));
      screen.time += 0.5;
    }
  }
  EXPECT_EQ(screen.writes.size(), 11u);  // the first, every 10th after it, the last
  for (const std::string& text : screen.writes) {
    EXPECT_THAT(text, EndsWith("left\n"));
    EXPECT_THAT(text, Not(HasSubstr("\x1b")));
    EXPECT_THAT(text, Not(HasSubstr("\r")));
  }
  screen.writes.clear();
  ProgressOptions options = screen.options(false, 10);
  options.log_every = 4;
  Progress progress(options);
  for (int step = 1; step <= 10; ++step) progress.step(at(step));
  ASSERT_EQ(screen.writes.size(), 4u);
  EXPECT_THAT(screen.writes[1], StartsWith("step 4/10"));
  EXPECT_THAT(screen.writes[3], StartsWith("step 10/10"));
}

TEST(Progress, NotesStandAboveTheLiveLine) {
  Screen screen;
  Progress progress(screen.options(true, 10));
  progress.note("start");
  progress.step(at(1));
  progress.note("validation loss 1.5");
  ASSERT_EQ(screen.writes.size(), 4u);
  EXPECT_EQ(screen.writes[0], "start\n");
  EXPECT_EQ(screen.writes[2], "\rvalidation loss 1.5\x1b[K\n");
  EXPECT_THAT(screen.writes[3], StartsWith("\rstep 1/10"));
}

TEST(Progress, BadNumbersAreShownAndForgotten) {
  Screen screen;
  Progress progress(screen.options(false, 10));
  ProgressStep step = at(1);
  step.loss = std::nan("");
  progress.step(step);
  EXPECT_THAT(screen.writes[0], HasSubstr("loss nan"));
  screen.time += 10;
  progress.step(at(2));
  EXPECT_THAT(screen.writes[1], HasSubstr("loss 2.0000"));
}

TEST(Progress, LossIsSmoothed) {
  Screen screen;
  Progress progress(screen.options(false, 10));
  progress.step(at(1));
  screen.time += 10;
  ProgressStep step = at(2);
  step.loss = 4;
  progress.step(step);
  EXPECT_THAT(screen.writes[1], HasSubstr("loss 3.05"));  // (0.9·2 + 4) / 1.9
}

TEST(Progress, DurationsAreReadable) {
  EXPECT_EQ(show_duration(3.4), "3 s");
  EXPECT_EQ(show_duration(720), "12 min");
  EXPECT_EQ(show_duration(5 * 3600 + 120), "5 h 02 min");
  EXPECT_EQ(show_duration(76 * 3600), "3 d 4 h");
  EXPECT_EQ(show_duration(std::nan("")), "unknown");
  EXPECT_EQ(show_duration(-1), "unknown");
  EXPECT_EQ(show_duration(1e300), "unknown");
}

TEST(Progress, WidthComesFromColumnsFirst) {
  ASSERT_EQ(::setenv("COLUMNS", "57", 1), 0);
  EXPECT_EQ(terminal_columns(STDOUT_FILENO), 57);
  ASSERT_EQ(::setenv("COLUMNS", "-4", 1), 0);
  EXPECT_GT(terminal_columns(STDOUT_FILENO), 0);
  ASSERT_EQ(::unsetenv("COLUMNS"), 0);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_EQ(terminal_columns(ends[1]), 80);
  const ProgressOptions options = progress_to(ends[1]);
  EXPECT_FALSE(options.live);
  const double before = options.now();
  EXPECT_GE(options.now(), before);
  options.write("hello");
  char text[8] = {};
  EXPECT_EQ(::read(ends[0], text, sizeof(text)), 5);
  EXPECT_STREQ(text, "hello");
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace outsize
