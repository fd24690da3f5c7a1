// Plans that only run forward, under budgets: sound, within them, streamed only where they must be,
// and of one mind about where shared weights lie.
#include "plan/forward_plans.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "plan/check.h"
#include "plan/random_plan.h"

namespace outsize::testing_plan {
namespace {

constexpr std::uint64_t kSeeds = 300;

// Bytes of weights without a place of their own in RAM.
std::int64_t streamed_bytes(const ForwardPlans& found) {
  return found.plans.front().scratch_bytes;
}

void expect_sound(const ForwardPlans& found, std::int64_t budget) {
  ASSERT_FALSE(found.plans.empty());
  std::int64_t largest = 0;
  for (const Plan& plan : found.plans) {
    EXPECT_NO_THROW(check_plan(plan));
    largest = std::max(largest, plan.arena_bytes);
    EXPECT_EQ(plan.weights, found.plans.front().weights);
    EXPECT_EQ(plan.scratch_bytes, found.plans.front().scratch_bytes);
    EXPECT_EQ(plan.store_bytes, 0);
    for (const int id : plan.weights) {
      if (id < 0) continue;
      EXPECT_EQ(plan.buffers[static_cast<size_t>(id)].extent.offset,
                found.plans.front().buffers[static_cast<size_t>(id)].extent.offset);
    }
  }
  EXPECT_EQ(found.arena_bytes, largest);
  EXPECT_LE(largest, budget > 0 ? budget : INT64_MAX);
}

TEST(ForwardPlans, FitTheirBudgetsAndStreamNoMoreThanTheyMust) {
  int streamed = 0;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    RandomRequest random(seed);
    random.request.training.reset();
    random.request.knobs = {};
    // Padding to pages must not eat what streaming saves.
    for (ProgramParameter& parameter : random.program.parameters)
      parameter.type.shape = Shape{parameter.type.shape.numel() * 256};
    // The same program with another size of scratch: a shorter chunk of text, say.
    PlanRequest other = random.request;
    for (SegmentProfile& segment : other.segments) segment.forward_scratch_bytes /= 2;
    const std::vector<PlanRequest> both = {random.request, other};
    const ForwardPlans resident = plan_forward(both, 0, true);
    expect_sound(resident, 0);
    EXPECT_EQ(streamed_bytes(resident), 0);
    const std::int64_t smallest = plan_forward(both, 1, true).arena_bytes;
    EXPECT_TRUE(plan_forward(both, smallest / 2, true).plans.empty());
    EXPECT_EQ(plan_forward(both, resident.arena_bytes - 1, false).plans.size(), 0u);
    EXPECT_EQ(streamed_bytes(plan_forward(both, resident.arena_bytes, true)), 0);
    std::int64_t before = INT64_MAX;
    for (int part = 0; part < 4; ++part) {
      const std::int64_t budget = smallest + (resident.arena_bytes - smallest) * part / 4;
      const ForwardPlans found = plan_forward(both, budget, true);
      expect_sound(found, budget);
      if (part == 0) before = streamed_bytes(found);
      EXPECT_LE(streamed_bytes(found), before) << "more on disk than under the smallest budget";
      streamed += streamed_bytes(found) > 0;
    }
  }
  EXPECT_GT(streamed, static_cast<int>(kSeeds));
}

// Calls one after the other, each with a parameter of so many pages; tied: the last uses the
// first's.
Program chain(const std::vector<std::int64_t>& pages, bool tied) {
  Program program;
  const auto add_value = [&](const std::string& name, ProgramValue::Role role) {
    ProgramValue value;
    value.name = name;
    value.type = ValueType{DType::f32, Shape{8}};
    value.role = role;
    program.values.push_back(value);
    return static_cast<int>(program.values.size()) - 1;
  };
  int value = add_value("in", ProgramValue::Role::batch);
  program.segments.resize(1);
  for (size_t c = 0; c < pages.size(); ++c) {
    const bool last = c + 1 == pages.size();
    Call call;
    call.name = "call";
    call.inputs = {value};
    value = add_value("x", last ? ProgramValue::Role::result : ProgramValue::Role::boundary);
    call.outputs = {value};
    if (last && tied) {
      call.parameters = {0};
    } else {
      ProgramParameter parameter;
      parameter.name = "w";
      parameter.type = ValueType{DType::f32, Shape{pages[c] * kMovedAlignment / 4}};
      call.parameters = {static_cast<int>(program.parameters.size())};
      program.parameters.push_back(parameter);
    }
    program.calls.push_back(call);
  }
  return program;
}

TEST(ForwardPlans, KeepWhatIsReadTwiceFirst) {
  const Program program = chain({10, 10, 10, 10, 10, 10}, /*tied=*/true);
  const PlanRequest request{.program = &program, .segments = std::vector<SegmentProfile>(1)};
  const std::int64_t all = plan_forward({request}, 0, true).arena_bytes;
  const ForwardPlans found = plan_forward({request}, all - 4096, true);
  expect_sound(found, all - 4096);
  EXPECT_GT(streamed_bytes(found), 0);
  EXPECT_GE(found.plans.front().weights.front(), 0);
}

// A head needs room for all of it at its use, so it had better stay there; one call is read ahead.
TEST(ForwardPlans, KeepLargeCallsBeforeOthers) {
  const Program program = chain({10, 10, 10, 10, 10, 10, 100}, /*tied=*/false);
  const PlanRequest request{.program = &program, .segments = std::vector<SegmentProfile>(1)};
  constexpr std::int64_t kValues = 2 * kMovedAlignment;
  const std::int64_t budget = (100 + 3 * 10) * kMovedAlignment + kValues;
  const ForwardPlans found = plan_forward({request}, budget, true);
  expect_sound(found, budget);
  const auto& weights = found.plans.front().weights;
  EXPECT_GE(weights.back(), 0);
  EXPECT_GE(weights.front(), 0) << "room for one more beside the one in use and the next";
  EXPECT_EQ(streamed_bytes(found), 5 * 10 * kMovedAlignment);
}

}  // namespace
}  // namespace outsize::testing_plan
