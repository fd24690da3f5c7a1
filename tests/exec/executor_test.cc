// The executor: same bits however the plan places and recomputes, nothing read that nothing wrote,
// fast kernels agree with the references, failures leave weights alone.
#include "exec/executor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string>

#include "core/error.h"
#include "core/parallel.h"
#include "exec/tiny_training.h"

namespace outsize::exec_test {
namespace {

struct Trace {
  std::vector<double> losses, norms;
  std::vector<float> gradients;  // of the first step
  std::string weights;           // after the last
};

Trace run(TinyTraining& training, int steps, int poison = -1) {
  Trace trace;
  for (int step = 1; step <= steps; ++step) {
    if (poison >= 0) training.poison(static_cast<unsigned char>(poison));
    trace.losses.push_back(training.step(step));
    trace.norms.push_back(training.executor().gradient_norm());
    if (step == 1) trace.gradients = training.gradients();
  }
  trace.weights = training.weights();
  return trace;
}

Trace run(const TrainingSetup& setup, int steps, int poison = -1) {
  TinyTraining training(setup);
  return run(training, steps, poison);
}

void expect_same_bits(const Trace& one, const Trace& other) {
  EXPECT_EQ(one.losses, other.losses);
  EXPECT_EQ(one.norms, other.norms);
  ASSERT_FALSE(one.gradients.empty());
  EXPECT_EQ(one.gradients, other.gradients);
  EXPECT_TRUE(one.weights == other.weights) << "weights differ";
}

class EveryFamily : public ::testing::TestWithParam<std::tuple<const char*, DType>> {
 protected:
  TrainingSetup setup() const {
    TrainingSetup setup;
    setup.family = std::get<0>(GetParam());
    setup.dtype = std::get<1>(GetParam());
    return setup;
  }
};

TEST_P(EveryFamily, LearnsAndRepeatsItsBits) {
  const Trace trace = run(setup(), 3);
  for (double loss : trace.losses) EXPECT_TRUE(std::isfinite(loss));
  EXPECT_GT(trace.norms[0], 0);
  expect_same_bits(trace, run(setup(), 3));
}

TEST_P(EveryFamily, RecomputingGivesTheBitsOfKeeping) {
  TinyTraining keeping(setup());
  const Trace kept = run(keeping, 3);
  std::int64_t more = keeping.plan().arena_bytes;
  for (const Recompute level : {Recompute::cheap, Recompute::everything}) {
    TrainingSetup again = setup();
    again.recompute = level;
    TinyTraining recomputing(again);
    EXPECT_LT(recomputing.plan().arena_bytes, more);
    more = recomputing.plan().arena_bytes;
    expect_same_bits(kept, run(recomputing, 3));
  }
}

TEST_P(EveryFamily, ReadsNothingThatNothingWrote) {
  expect_same_bits(run(setup(), 3), run(setup(), 3, 0xFF));
  TrainingSetup again = setup();
  for (const Recompute level : {Recompute::cheap, Recompute::everything}) {
    again.recompute = level;
    expect_same_bits(run(again, 2, 0x00), run(again, 2, 0x7F));
  }
}

double norm(const std::vector<float>& values) {
  double sum = 0;
  for (float value : values) sum += static_cast<double>(value) * value;
  return std::sqrt(sum);
}

TEST_P(EveryFamily, FastKernelsAgreeWithTheReferences) {
  TrainingSetup reference = setup();
  reference.compile.kernels = KernelChoice::reference;
  const Trace fast = run(setup(), 1), slow = run(reference, 1);
  // f32: a few hundred roundings of 2^-24 in a row; bf16: values pass through 2^-9 about twenty
  // times, and the loss averages over the targets.
  const bool wide = setup().dtype == DType::f32;
  EXPECT_NEAR(fast.losses[0], slow.losses[0], (wide ? 1e-6 : 4e-3) * slow.losses[0]);
  ASSERT_EQ(fast.gradients.size(), slow.gradients.size());
  std::vector<float> difference(fast.gradients.size());
  for (size_t i = 0; i < difference.size(); ++i)
    difference[i] = fast.gradients[i] - slow.gradients[i];
  EXPECT_GT(norm(slow.gradients), 0);
  EXPECT_LE(norm(difference), (wide ? 1e-5 : 4e-2) * norm(slow.gradients));
}

TEST_P(EveryFamily, ThreadCountLeavesTheLossWithinRounding) {
  const int before = thread_count();
  set_thread_count(1);
  const Trace one = run(setup(), 1);
  set_thread_count(3);
  const Trace three = run(setup(), 1);
  set_thread_count(before);
  const double tolerance = setup().dtype == DType::f32 ? 1e-6 : 4e-3;
  EXPECT_NEAR(one.losses[0], three.losses[0], tolerance * one.losses[0]);
}

INSTANTIATE_TEST_SUITE_P(Families, EveryFamily,
                         ::testing::Combine(::testing::ValuesIn(kFamilies),
                                            ::testing::Values(DType::f32, DType::bf16)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_" +
                                  name_of(std::get<1>(info.param));
                         });

TEST(Executor, RunsEveryTaskOnceInOrder) {
  TinyTraining training({});
  std::vector<TaskKind> kinds;
  training.executor().after_task = [&](const Task& task) { kinds.push_back(task.kind); };
  training.step(1);
  ASSERT_EQ(kinds.size(), training.plan().tasks.size());
  for (size_t t = 0; t < kinds.size(); ++t) EXPECT_EQ(kinds[t], training.plan().tasks[t].kind);
  const auto& times = training.executor().times();
  ASSERT_EQ(times.size(), kinds.size());
  for (size_t t = 0; t < times.size(); ++t) {
    EXPECT_LE(times[t].start_seconds, times[t].end_seconds);
    EXPECT_LE(times[t > 0 ? t - 1 : t].start_seconds, times[t].start_seconds);
  }
  std::set<std::string> ops;
  for (const Executor::OpTime& time : training.executor().op_times()) {
    EXPECT_GE(time.seconds, 0);
    ops.insert(time.call->op->name);
  }
  EXPECT_TRUE(ops.count("linear"));
  EXPECT_TRUE(ops.count("lm_loss_grad"));
}

TEST(Executor, AGradientThatIsNotFiniteChangesNoWeight) {
  TinyTraining training({});
  training.step(1);
  const std::string before = training.weights();
  auto* weight = static_cast<float*>(training.executor().weight(0));
  const float kept = weight[0];
  // Token rows that the batch does not use would hide it: every row gets the infinity.
  const std::int64_t count = training.plan().buffers[0].extent.bytes / 4;
  std::vector<float> whole(weight, weight + count);
  std::fill_n(weight, count, std::numeric_limits<float>::infinity());
  const std::string poisoned = training.weights();
  try {
    training.step(2);
    FAIL() << "the step went through";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
    EXPECT_NE(std::string(error.what()).find("step 2"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("is not finite"), std::string::npos) << error.what();
  }
  EXPECT_TRUE(training.weights() == poisoned) << "a weight changed";
  std::copy(whole.begin(), whole.end(), weight);
  EXPECT_EQ(weight[0], kept);
  EXPECT_TRUE(training.weights() == before);
  EXPECT_TRUE(std::isfinite(training.step(2)));
}

TEST(Executor, RefusesAnArenaThatIsTooSmall) {
  const auto model = tiny_model("gpt2");
  const Program program =
      model->program({.mode = BuildOptions::Mode::evaluation, .tokens = 4096, .row_length = 64});
  CompiledProgram compiled(program, {});
  const Plan plan = make_plan({&program, compiled.profiles(), std::nullopt, 0});
  auto small = std::make_shared<HostArena>(plan.arena_bytes - 1);
  EXPECT_THROW(Executor(compiled, plan, small), Error);
  auto enough = std::make_shared<HostArena>(plan.arena_bytes);
  const Executor executor(compiled, plan, enough);
  EXPECT_THROW(executor.value(0, "no such value"), Error);
  EXPECT_THROW(executor.buffer(-1), Error);
}

TEST(HostArena, SaysWhatItCannotMap) {
  try {
    const HostArena arena(std::int64_t{1} << 60);
    FAIL() << "an exbibyte was mapped";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory);
  }
  const HostArena arena(1 << 20);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(arena.data()) % 64, 0u);
  for (std::int64_t i = 0; i < arena.bytes(); i += 4096) EXPECT_EQ(arena.data()[i], 0);
}

TEST(CompiledProgram, MoreMicrobatchesKeepNoMoreActivations) {
  TrainingSetup one, four;
  one.accumulation = 1;
  four.accumulation = 4;
  const TinyTraining a(one), b(four);
  const auto activations = static_cast<size_t>(BufferKind::activations);
  EXPECT_EQ(a.plan().peak_bytes_by_kind[activations], b.plan().peak_bytes_by_kind[activations]);
}

TEST(CompiledProgram, CallsOfOneKindShareASegment) {
  const auto model = tiny_model("gemma3_text", 6);
  const Program program = model->program(
      {.mode = BuildOptions::Mode::training, .tokens = 8, .row_length = 8, .dtype = DType::f32});
  // Two rotary tables, embedding, local block, global block, head.
  EXPECT_EQ(program.segments.size(), 6u);
  EXPECT_EQ(program.calls.size(), 2u + 1u + 6u + 1u);
}

}  // namespace
}  // namespace outsize::exec_test
