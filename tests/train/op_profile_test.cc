// The profile of a step: which floor an op has, what is counted, and in which order it is shown.
#include "train/op_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "train/engine.h"
#include "train/tiny.h"

namespace outsize {
namespace {

using testing::HasSubstr;

constexpr double kSlow = 1e-6, kFast = 1e12;  // GFLOP/s or GB/s that decide, or never do

struct OneStep {
  explicit OneStep(const char* family = "gpt2")
      : model(train_test::tiny_model(family)),
        engine(*model, {2, 32, 2, DType::f32, false}, {.name = "adamw"}, 0) {
    engine.allocate();
    engine.randomise(1);
    std::vector<Batch> batches;
    std::int64_t targets = 0;
    for (std::uint64_t m = 0; m < 2; ++m) {
      batches.push_back(train_test::random_batch(2, 32, train_test::kVocabulary, m));
      targets += batches.back().target_tokens;
    }
    engine.step(batches, targets, {.step = 1, .lr = 1e-3, .clip = 1.0});
  }
  std::vector<ProfileRow> rows(const FloorRates& rates) {
    return profile_step(engine.executor(), rates);
  }
  std::unique_ptr<Model> model;
  TrainingEngine engine;
};

const ProfileRow* find(const std::vector<ProfileRow>& rows, const std::string& name) {
  for (const ProfileRow& row : rows)
    if (row.name == name) return &row;
  return nullptr;
}

TEST(OpProfile, EveryLaunchAndEveryTaskWithoutOpsIsCountedOnce) {
  OneStep it;
  const auto rows = it.rows({1, 1});
  size_t launches = 0;
  double seconds = 0;
  for (const ProfileRow& row : rows) {
    launches += static_cast<size_t>(row.count);
    seconds += row.seconds;
  }
  const auto& tasks = it.engine.plan().tasks;
  const auto without_ops =
      std::count_if(tasks.begin(), tasks.end(), [](const Task& task) { return task.call < 0; });
  EXPECT_EQ(launches, it.engine.executor().op_times().size() + static_cast<size_t>(without_ops));
  EXPECT_LE(seconds, it.engine.executor().times().back().end_seconds);
  EXPECT_EQ(find(rows, "update")->count, static_cast<int>(it.engine.program().parameters.size()));
  EXPECT_EQ(find(rows, "gradient_norm")->count, 1);
}

TEST(OpProfile, TheLargerOfFlopsAndBytesIsTheFloor) {
  OneStep it;
  double flops = 0, bytes = 0;
  for (const auto& time : it.engine.executor().op_times()) {
    if (std::string(time.call->op->name) != "linear") continue;
    const Cost cost = time.call->op->cost(time.call->query());
    flops += cost.flops;
    bytes += cost.bytes_read + cost.bytes_written;
  }
  ASSERT_GT(flops, 0);
  const auto by_flops = merged_by_name(it.rows({kSlow, kFast}));
  EXPECT_NEAR(find(by_flops, "linear")->floor_seconds, flops / kSlow / 1e9, 1e-6 * flops);
  const auto by_bytes = merged_by_name(it.rows({kFast, kSlow}));
  EXPECT_NEAR(find(by_bytes, "linear")->floor_seconds, bytes / kSlow / 1e9, 1e-6 * bytes);
  EXPECT_EQ(profile_to_json({*find(by_flops, "linear")})[0]["bound"], "compute");
  EXPECT_EQ(profile_to_json({*find(by_bytes, "linear")})[0]["bound"], "memory");
}

TEST(OpProfile, UpdatesAreBoundByTheBytesTheyMove) {
  OneStep it;
  double parameters = 0;
  for (const ProgramParameter& parameter : it.engine.program().parameters)
    parameters += static_cast<double>(parameter.type.shape.numel());
  const auto rows = it.rows({kFast, 1});
  // Weight, gradient and two moments are read; weight and moments are written; f32. The norm's
  // eight bytes are read once per parameter.
  const double bytes = find(rows, "update")->floor_seconds * 1e9;
  EXPECT_NEAR(bytes, 7 * 4 * parameters + 8.0 * find(rows, "update")->count, 1);
  EXPECT_NEAR(find(rows, "gradient_norm")->floor_seconds * 1e9, 4 * parameters + 8, 1);
}

TEST(OpProfile, OnlyOpsThatSkipPositionsCostLessWithFewerTargets) {
  OneStep it;
  const auto all = merged_by_name(it.rows({1, 1, 1}));
  const auto half = merged_by_name(it.rows({1, 1, 0.5}));
  for (const ProfileRow& row : all) {
    const double share = row.name.starts_with("lm_loss") ? 0.5 : 1.0;
    EXPECT_DOUBLE_EQ(find(half, row.name)->floor_seconds, share * row.floor_seconds) << row.name;
  }
}

TEST(OpProfile, WhatLosesMostStandsFirst) {
  OneStep it("llama");
  for (const auto& rows : {it.rows({10, 10}), merged_by_name(it.rows({10, 10}))}) {
    ASSERT_GT(rows.size(), 3u);
    for (size_t i = 1; i < rows.size(); ++i)
      EXPECT_GE(rows[i - 1].loss_seconds(), rows[i].loss_seconds());
  }
}

TEST(OpProfile, TheTextNamesOpsFloorsAndWhatToGain) {
  OneStep it;
  // Floors of nothing: every call loses all of its time.
  const std::string text = describe_step(it.engine.executor(), {kFast, kFast});
  for (const char* part : {"backward block", "linear_grad_weight", "of floor", "between them",
                           "What would close the gap", "step faster by", "f32[64,24]"})
    EXPECT_THAT(text, HasSubstr(part));
  // Floors that nothing reaches: nothing is lost.
  const std::string fast = describe_step(it.engine.executor(), {kSlow, kSlow});
  EXPECT_EQ(fast.find(" x "), std::string::npos) << fast;
}

}  // namespace
}  // namespace outsize
