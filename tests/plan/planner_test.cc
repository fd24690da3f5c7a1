// What the planner promises: plans the checker accepts, exact arena bytes, the same plan every
// time, plans that share places, budgets refused with advice, and models of a thousand layers.
#include "plan/planner.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "core/error.h"
#include "exec/compiled_program.h"
#include "models/model.h"
#include "plan/check.h"
#include "plan/random_plan.h"
#include "plan/symbolic_run.h"

namespace outsize::testing_plan {
namespace {

constexpr std::uint64_t kSeeds = 300;

std::vector<std::int64_t> offsets(const Plan& plan) {
  std::vector<std::int64_t> list;
  for (const Buffer& b : plan.buffers) list.push_back(b.extent.offset);
  return list;
}

TEST(Planner, MakesPlansThatTheCheckerAccepts) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const RandomRequest random(seed);
    const Plan plan = make_plan(random.request);
    EXPECT_NO_THROW(check_plan(plan)) << "seed " << seed;
    EXPECT_TRUE(run_symbolically(plan).sound) << "seed " << seed;
  }
}

TEST(Planner, ArenaEndsWithItsLastExtent) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const RandomRequest random(seed);
    const Plan plan = make_plan(random.request);
    std::int64_t end = 0, sum = 0;
    for (const Buffer& b : plan.buffers) {
      const std::int64_t bytes = (b.extent.bytes + 63) / 64 * 64;
      end = std::max(end, b.extent.offset + bytes);
      sum += bytes;
    }
    EXPECT_EQ(plan.arena_bytes, end) << "seed " << seed;
    EXPECT_LE(plan.arena_bytes, sum);
    const auto& peaks = plan.peak_bytes_by_kind;
    EXPECT_LE(*std::max_element(peaks.begin(), peaks.end()), plan.arena_bytes);
    // What lives all the time is a floor of the peak.
    std::int64_t persistent = 0;
    for (const Buffer& b : plan.buffers)
      if (b.persistent) persistent += (b.extent.bytes + 63) / 64 * 64;
    EXPECT_GE(plan.arena_bytes, persistent);
  }
}

// Each as soon as its gradient is whole; refused where something has to be known or written first.
TEST(Planner, UpdatesWithBackwardWaitForNothingElse) {
  int plans = 0;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    RandomRequest random(seed);
    if (!random.request.training || random.request.training->forward_only) continue;
    random.request.knobs.vertical = seed % 2 == 0;
    random.request.knobs.updates = UpdateTime::with_backward;
    EXPECT_THROW(make_plan(random.request), Error) << "with clipping";
    random.request.training->clips = false;
    const Plan plan = make_plan(random.request);
    EXPECT_NO_THROW(check_plan(plan)) << "seed " << seed;
    EXPECT_TRUE(run_symbolically(plan).sound) << "seed " << seed;
    EXPECT_EQ(plan.tasks.back().kind, TaskKind::gradient_norm);
    for (size_t t = 1; t < plan.tasks.size(); ++t)
      if (plan.tasks[t].kind == TaskKind::update) {
        const TaskKind before = plan.tasks[t - 1].kind;
        EXPECT_TRUE(before == TaskKind::gradient_squares || before == TaskKind::update);
      }
    random.request.knobs.durable = random.request.knobs.ring = true;
    EXPECT_THROW(make_plan(random.request), Error) << "with a log";
    ++plans;
  }
  EXPECT_GT(plans, 10);
}

TEST(Planner, IsDeterministic) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const RandomRequest random(seed);
    const Plan first = make_plan(random.request), second = make_plan(random.request);
    EXPECT_EQ(offsets(first), offsets(second));
    EXPECT_EQ(run_symbolically(first), run_symbolically(second));
  }
}

// From the third on, microbatches follow each other through the same bytes: only their inputs and
// results have places of their own.
TEST(Planner, MoreMicrobatchesTakeOnlyTheirBatches) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    RandomRequest random(seed);
    const bool tied = random.program.calls.back().parameters.front() == 0;
    if (!random.request.training || tied) continue;  // tied: a cotangent waits per microbatch
    random.request.training->accumulation = 3;
    const Plan three = make_plan(random.request);
    random.request.training->accumulation = 9;
    const Plan nine = make_plan(random.request);
    std::int64_t batch = 0;
    for (const ProgramValue& value : random.program.values)
      if (value.role != ProgramValue::Role::boundary) batch += (value.type.bytes() + 63) / 64 * 64;
    EXPECT_EQ(nine.arena_bytes, three.arena_bytes + 6 * batch) << "seed " << seed;
  }
}

// Validation runs in the arena of training, on the same weights.
TEST(Planner, ForwardOnlyPlanSharesThePlacesOfWeightsAndState) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    RandomRequest random(seed);
    if (!random.request.training) continue;
    const Plan training = make_plan(random.request);
    random.request.training->forward_only = true;
    const Plan forward = make_plan(random.request);
    check_plan(forward);
    auto place = [](const Plan& plan, int id) {
      return plan.buffers[static_cast<size_t>(id)].extent.offset;
    };
    for (size_t p = 0; p < training.weights.size(); ++p) {
      EXPECT_EQ(place(training, training.weights[p]), place(forward, forward.weights[p]));
      for (size_t i = 0; i < training.optimizer[p].size(); ++i)
        EXPECT_EQ(place(training, training.optimizer[p][i]),
                  place(forward, forward.optimizer[p][i]));
    }
    for (const Task& task : forward.tasks) {
      EXPECT_EQ(task.kind, TaskKind::forward);
      for (int id : task.writes)
        EXPECT_NE(forward.buffers[static_cast<size_t>(id)].kind, BufferKind::optimizer);
    }
  }
}

TEST(Planner, RefusesWhatDoesNotFitItsBudget) {
  int tried = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    RandomRequest random(seed);
    const Plan plan = make_plan(random.request);
    random.request.budget_bytes = plan.arena_bytes;
    EXPECT_NO_THROW(make_plan(random.request)) << "it fits exactly";
    random.request.budget_bytes = plan.arena_bytes - 1;
    try {
      make_plan(random.request);
      ADD_FAILURE() << "one byte too few is accepted, seed " << seed;
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory);
      for (const char* part : {"[plan]", "got a peak of", "expected at most", "GiB", "; try "})
        EXPECT_NE(message.find(part), std::string::npos) << message;
      ++tried;
    }
  }
  EXPECT_EQ(tried, 50);
}

nlohmann::json tiny_llama(std::int64_t layers) {
  return {{"model_type", "llama"},   {"num_hidden_layers", layers}, {"hidden_size", 32},
          {"intermediate_size", 64}, {"num_attention_heads", 4},    {"num_key_value_heads", 2},
          {"vocab_size", 97},        {"rms_norm_eps", 1e-6}};
}

TEST(Planner, PlansAThousandLayers) {
  constexpr int kLayers = 1000;
  const auto model = model_from_hf_config(tiny_llama(kLayers), "config.json");
  const Program program =
      model->program({.mode = BuildOptions::Mode::training, .tokens = 64, .row_length = 32});
  CompiledProgram compiled(program, {.training = true, .kernels = KernelChoice::null});
  EXPECT_LE(program.segments.size(), 5u) << "layers share a compiled segment";
  TrainingRequest training{.accumulation = 2};
  for (const ProgramParameter& parameter : program.parameters) {
    const std::int64_t bytes = parameter.type.shape.numel() * 4;
    training.optimizer.push_back({{"m", bytes}, {"v", bytes}});
    training.update_scratch_bytes.push_back(0);
  }
  const Plan plan = make_plan({&program, compiled.profiles(), training, 0});
  check_plan(plan);
  EXPECT_TRUE(run_symbolically(plan).sound);
  // Two microbatches forward and backward, the norm, and an update per parameter.
  EXPECT_GE(plan.tasks.size(), 2u * 2u * kLayers + program.parameters.size() + 1u);
  EXPECT_EQ(program.parameters.size(), 9u * kLayers + 3u);
}

}  // namespace
}  // namespace outsize::testing_plan
