#include "report/metrics_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.h"
#include "report/process_memory.h"
#include "report/temporary_folder.h"

namespace outsize {
namespace {

StepMetrics step_metrics(std::int64_t step) {
  StepMetrics metrics;
  metrics.step = step;
  metrics.loss = 1.0 / static_cast<double>(3 * step);
  metrics.target_tokens = 100;
  metrics.tokens = 512;
  metrics.grad_norm = 0.1;
  metrics.lr = 2e-4;
  metrics.seconds = 0.25;
  metrics.peak_rss_bytes = std::int64_t{5} << 30;
  return metrics;
}

std::vector<std::int64_t> steps_in(const std::string& path) {
  std::vector<std::int64_t> steps;
  std::istringstream lines(contents_of(path));
  for (std::string line; std::getline(lines, line);)
    steps.push_back(nlohmann::json::parse(line).at("step"));
  return steps;
}

TEST(Metrics, LineHasEveryFieldToTheBit) {
  StepMetrics metrics = step_metrics(7);
  const auto value = nlohmann::json::parse(json_line(metrics));
  EXPECT_EQ(value.size(), 9u);
  EXPECT_EQ(value.at("step"), 7);
  EXPECT_EQ(value.at("loss").get<double>(), metrics.loss);
  EXPECT_EQ(value.at("target_tokens"), 100);
  EXPECT_EQ(value.at("tokens"), 512);
  EXPECT_EQ(value.at("grad_norm").get<double>(), 0.1);
  EXPECT_EQ(value.at("lr").get<double>(), 2e-4);
  EXPECT_EQ(value.at("seconds").get<double>(), 0.25);
  EXPECT_TRUE(value.at("predicted_seconds").is_null());
  EXPECT_EQ(value.at("peak_rss_bytes"), std::int64_t{5} << 30);
  metrics.predicted_seconds = 0.5;
  metrics.loss = std::nan("");
  metrics.grad_norm = std::numeric_limits<double>::infinity();
  const auto odd = nlohmann::json::parse(json_line(metrics));
  EXPECT_EQ(odd.at("predicted_seconds"), 0.5);
  EXPECT_TRUE(odd.at("loss").is_null() && odd.at("grad_norm").is_null());
}

TEST(Metrics, ResumeLeavesEveryStepOnce) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  {
    MetricsFile file(path, 0);
    for (int step = 1; step <= 5; ++step) {
      file.write(step_metrics(step));
      if (step % 2 == 0) file.write(EvaluationMetrics{step, 2.5, 50, 1.0});
    }
    file.sync();
  }
  const std::string whole = contents_of(path);
  {
    MetricsFile file(path, 2);  // killed after step 5, last checkpoint at step 2
    for (int step = 3; step <= 5; ++step) {
      file.write(step_metrics(step));
      if (step % 2 == 0) file.write(EvaluationMetrics{step, 2.5, 50, 1.0});
    }
  }
  EXPECT_EQ(contents_of(path), whole);
  EXPECT_EQ(steps_in(path), (std::vector<std::int64_t>{1, 2, 2, 3, 4, 4, 5}));
}

TEST(Metrics, FreshRunStartsEmpty) {
  const TemporaryFolder folder;
  write_file(folder / "m", json_line(step_metrics(1)) + "\n");
  { MetricsFile file(folder / "m", 0); }
  EXPECT_EQ(contents_of(folder / "m"), "");
}

TEST(Metrics, TornLastLineGoesAnythingElseIsNamed) {
  const TemporaryFolder folder;
  const std::string path = folder / "m";
  const std::string good = json_line(step_metrics(1)) + "\n";
  for (std::size_t cut = 1; cut + 2 < good.size(); cut += 7) {
    write_file(path, good + json_line(step_metrics(2)).substr(0, cut));
    keep_metrics_until(path, 10);
    EXPECT_EQ(contents_of(path), good);
  }
  write_file(path, good + json_line(step_metrics(2)));  // only the line feed is missing
  keep_metrics_until(path, 10);
  EXPECT_EQ(steps_in(path), (std::vector<std::int64_t>{1, 2}));
  for (const std::string& bad : std::vector<std::string>{
           "garbage\n", "[]\n", "{}\n", "{\"step\": \"1\"}\n", "\n", std::string("\xff\n"),
           "{\"step\": 99999999999999999999}\n", std::string(200000, 'x')}) {
    write_file(path, good + bad + (bad.size() > 1000 ? "" : good));
    try {
      keep_metrics_until(path, 10);
      ADD_FAILURE() << bad.substr(0, 40);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Corruption);
      EXPECT_THAT(error.what(), testing::HasSubstr(path + ":2]"));
    }
    EXPECT_THAT(contents_of(path), testing::StartsWith(good + bad));  // untouched
  }
}

TEST(Metrics, LongFilesAreReadInPieces) {
  const TemporaryFolder folder;
  const std::string path = folder / "m";
  std::string text;
  for (int step = 1; step <= 10000; ++step) text += json_line(step_metrics(step)) + "\n";
  ASSERT_GT(text.size(), std::size_t{3} << 19);
  write_file(path, text);
  keep_metrics_until(path, 9876);
  const auto steps = steps_in(path);
  ASSERT_EQ(steps.size(), 9876u);
  for (std::size_t i = 0; i < steps.size(); ++i) EXPECT_EQ(steps[i], static_cast<int>(i) + 1);
}

TEST(Metrics, UnwritablePlaceIsIo) {
  try {
    MetricsFile file("/nonexistent-folder/metrics.jsonl", 0);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Io);
  }
}

TEST(MetricsWriter, WritesLinesAndEvents) {
  const TemporaryFolder folder;
  for (const std::int64_t last_step : {0, 1}) {
    MetricsWriter writer(folder / "metrics.jsonl", folder / "tensorboard", last_step);
    writer.write(step_metrics(last_step + 1));
    writer.write(EvaluationMetrics{last_step + 1, 2.5, 50, 1.0});
    writer.sync();
  }
  EXPECT_EQ(steps_in(folder / "metrics.jsonl"), (std::vector<std::int64_t>{1, 1, 2, 2}));
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "tensorboard")) {
    const std::string events = contents_of(entry.path());
    for (const char* tag : {"train/loss", "train/grad_norm", "train/lr", "speed/tokens_per_second",
                            "memory/peak_rss_bytes", "validation/loss"})
      EXPECT_THAT(events, testing::HasSubstr(tag));
    ++files;
  }
  EXPECT_EQ(files, 2);
}

TEST(ProcessMemory, PeakFollowsUse) {
  const std::int64_t before = rss_bytes();
  ASSERT_GT(before, 0);
  ASSERT_GE(peak_rss_bytes(), before);
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  const bool reset = reset_peak_rss();
  const std::int64_t low = peak_rss_bytes();
  // From the kernel and back to it: an allocator might keep what it was given.
  void* block = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(block, MAP_FAILED);
  std::memset(block, 1, kBytes);
  ::munmap(block, kBytes);
  EXPECT_GE(peak_rss_bytes(), before + static_cast<std::int64_t>(kBytes / 2));
  if (reset) {
    ASSERT_TRUE(reset_peak_rss());
    EXPECT_LT(peak_rss_bytes(), low + static_cast<std::int64_t>(kBytes));
  }
}

}  // namespace
}  // namespace outsize
