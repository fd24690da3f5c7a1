// Every rule against its float64 formula and against itself: instruction sets, tails, storage,
// threads.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "core/error.h"
#include "core/half.h"
#include "core/parallel.h"
#include "optim/harness.h"
#include "optim/reference.h"

namespace outsize {
namespace {

std::vector<OptimizerOptions> all_rules() {
  return {
      {.name = "adamw", .weight_decay = 0.1},
      {.name = "adamw", .beta1 = 0, .beta2 = 0.5, .eps = 1e-4},
      {.name = "sgd"},
      {.name = "sgd", .weight_decay = 0.1, .momentum = 0.9},
      {.name = "sgd", .weight_decay = 0.1, .momentum = 0.9, .nesterov = true},
      {.name = "adafactor"},
      {.name = "adafactor", .weight_decay = 0.1, .clip_threshold = 0.5, .eps1 = 1e-2, .eps2 = 2},
  };
}

std::string describe(const OptimizerOptions& o, const ParameterSpec& spec) {
  return o.name + " decay " + std::to_string(o.weight_decay) + " momentum " +
         std::to_string(o.momentum) + " " + to_string(spec.shape) + " " + name_of(spec.dtype);
}

std::vector<float> gradient_of(const ParameterSpec& spec, std::uint64_t step) {
  return normals(spec.shape.numel(), 100 + step, 1 / static_cast<double>(step + 1));
}

// Three updates; returns weight and state.
std::vector<std::vector<std::byte>> three_updates(const OptimizerOptions& options,
                                                  const ParameterSpec& spec) {
  const std::unique_ptr<UpdateRule> rule = make_update_rule(options);
  ParameterRun run(*rule, spec, normals(spec.shape.numel(), 1));
  for (std::uint64_t step = 0; step < 3; ++step) run.update(gradient_of(spec, step), 0.01, 0.5);
  return run.memory();
}

TEST(Update, FollowsTheFormulas) {
  const std::vector<Shape> shapes = {Shape{},        Shape{1},      Shape{15},      Shape{16},
                                     Shape{17},      Shape{1000},   Shape{1, 1},    Shape{3, 50},
                                     Shape{200, 33}, Shape{40, 16}, Shape{3, 5, 7}, Shape{1, 70}};
  for_each_isa([&] {
    for (const OptimizerOptions& options : all_rules())
      for (const Shape& shape : shapes)
        for (bool decay : {false, true})
          for (DType dtype : {DType::f32, DType::bf16}) {
            const ParameterSpec spec{.shape = shape, .dtype = dtype, .decay = decay};
            const std::unique_ptr<UpdateRule> rule = make_update_rule(options);
            const std::vector<float> start = normals(shape.numel(), 1);
            ParameterRun run(*rule, spec, start);
            ReferenceRun reference(options, spec, start);
            for (std::uint64_t step = 0; step < 5; ++step) {
              run.update(gradient_of(spec, step), 0.01, 0.5);
              reference.update(gradient_of(spec, step), 0.01, 0.5);
            }
            EXPECT_LE(relative_error(run.masters(), reference.masters()), 1e-6)
                << describe(options, spec);
          }
  });
}

TEST(Update, SplitMastersEqualF32WeightsBitForBit) {
  for_each_isa([] {
    for (const OptimizerOptions& options : all_rules())
      for (const Shape& shape : {Shape{1003}, Shape{70, 19}}) {
        const std::unique_ptr<UpdateRule> rule = make_update_rule(options);
        const std::vector<float> start = normals(shape.numel(), 1);
        ParameterRun whole(*rule, {.shape = shape, .dtype = DType::f32}, start);
        ParameterRun split(*rule, {.shape = shape, .dtype = DType::bf16}, start);
        for (std::uint64_t step = 0; step < 10; ++step) {
          const std::vector<float> gradient = gradient_of({.shape = shape}, step);
          whole.update(gradient, 0.01);
          split.update(gradient, 0.01);
          EXPECT_EQ(whole.masters(), split.masters()) << options.name << " step " << step;
        }
      }
  });
}

TEST(Update, ThreadsDoNotChangeBits) {
  const int before = thread_count();
  for (const OptimizerOptions& options : all_rules())
    for (const Shape& shape : {Shape{70'001}, Shape{601, 111}, Shape{5, 90, 101}})
      for (DType dtype : {DType::f32, DType::bf16}) {
        const ParameterSpec spec{.shape = shape, .dtype = dtype};
        set_thread_count(1);
        const auto alone = three_updates(options, spec);
        set_thread_count(2);
        EXPECT_EQ(three_updates(options, spec), alone) << describe(options, spec);
      }
  set_thread_count(before);
}

// What elementwise() promises, and with it that tails compute as whole groups do.
TEST(Update, ElementwiseRulesGiveTheSameBitsInPieces) {
  constexpr std::int64_t n = 101;
  const std::vector<float> start = normals(n, 1);
  const std::vector<float> gradient = normals(n, 2);
  for_each_isa([&] {
    for (OptimizerOptions options : all_rules())
      for (DType moments : {DType::f32, DType::bf16}) {
        if (options.name == "adafactor") continue;
        options.moment_dtype = moments;
        const std::unique_ptr<UpdateRule> rule = make_update_rule(options);
        ASSERT_TRUE(rule->elementwise());
        ParameterRun whole(*rule, {.shape = Shape{n}, .dtype = DType::bf16}, start);
        for (int step = 0; step < 3; ++step) whole.update(gradient, 0.01);
        for (std::int64_t cut : {1, 7, 16, 40, 100}) {
          std::vector<float> joined;
          for (auto [from, to] : {std::pair{std::int64_t{0}, cut}, std::pair{cut, n}}) {
            ParameterRun piece(*rule, {.shape = Shape{to - from}, .dtype = DType::bf16},
                               {start.begin() + from, start.begin() + to});
            for (int step = 0; step < 3; ++step)
              piece.update({gradient.begin() + from, gradient.begin() + to}, 0.01);
            const std::vector<float> masters = piece.masters();
            joined.insert(joined.end(), masters.begin(), masters.end());
          }
          EXPECT_EQ(joined, whole.masters()) << options.name << " cut at " << cut;
        }
      }
  });
  EXPECT_FALSE(make_update_rule({.name = "adafactor"})->elementwise());
}

TEST(Update, EmptyParametersAreLeftAlone) {
  for (const OptimizerOptions& options : all_rules())
    for (const Shape& shape : {Shape{0}, Shape{0, 5}, Shape{5, 0}, Shape{0, 3, 4}})
      for (DType dtype : {DType::f32, DType::bf16})
        three_updates(options, {.shape = shape, .dtype = dtype});
}

TEST(Update, ZeroGradientsAndWeightsStayFinite) {
  for (const OptimizerOptions& options : all_rules())
    for (const Shape& shape : {Shape{19}, Shape{5, 19}}) {
      const std::unique_ptr<UpdateRule> rule = make_update_rule(options);
      const std::vector<float> zeros(static_cast<size_t>(shape.numel()));
      ParameterRun run(*rule, {.shape = shape}, zeros);
      for (int step = 0; step < 3; ++step) run.update(zeros, 0.1);
      EXPECT_EQ(run.masters(), zeros) << options.name;
    }
}

TEST(Update, NanGradientsAreNotHidden) {
  for_each_isa([] {
    for (const OptimizerOptions& options : all_rules())
      for (const Shape& shape : {Shape{40}, Shape{2, 20}})
        for (DType dtype : {DType::f32, DType::bf16}) {
          const std::unique_ptr<UpdateRule> rule = make_update_rule(options);
          ParameterRun run(*rule, {.shape = shape, .dtype = dtype}, normals(40, 1));
          std::vector<float> gradient = normals(40, 2);
          gradient[33] = std::numeric_limits<float>::quiet_NaN();
          run.update(gradient, 0.1);
          EXPECT_TRUE(std::isnan(run.masters()[33])) << describe(options, {shape, dtype, true});
          if (dtype == DType::bf16) {
            std::uint16_t weight = 0;
            std::memcpy(&weight, &run.memory()[0][2 * 33], sizeof(weight));
            EXPECT_TRUE(std::isnan(to_f32(bf16{weight}))) << options.name;
          }
        }
  });
}

TEST(Update, Bf16MomentsStayWithinTheirRounding) {
  const ParameterSpec spec{.shape = Shape{1003}};
  for (OptimizerOptions options : {OptimizerOptions{.name = "adamw", .beta2 = 0.95},
                                   OptimizerOptions{.name = "sgd", .momentum = 0.9}}) {
    const std::vector<float> zeros(1003);
    const std::unique_ptr<UpdateRule> exact = make_update_rule(options);
    options.moment_dtype = DType::bf16;
    const std::unique_ptr<UpdateRule> rounded = make_update_rule(options);
    for_each_isa([&] {
      // From zero, so that the error is measured against the updates themselves.
      ParameterRun a(*exact, spec, zeros);
      ParameterRun b(*rounded, spec, zeros);
      for (std::uint64_t step = 0; step < 10; ++step) {
        a.update(gradient_of(spec, step), 0.01);
        b.update(gradient_of(spec, step), 0.01);
      }
      const std::vector<float> expected = a.masters();
      const double error = relative_error(b.masters(), {expected.begin(), expected.end()});
      EXPECT_LE(error, 0x1p-8) << options.name;  // bf16's epsilon, half of it per rounding
      EXPECT_GT(error, 0x1p-16) << options.name << ": the option changed nothing";
    });
  }
}

TEST(Update, DeclaresItsStateAndCost) {
  const ParameterSpec whole{.shape = Shape{30, 7}};
  const ParameterSpec split{.shape = Shape{30, 7}, .dtype = DType::bf16};
  const auto adamw = make_update_rule({.name = "adamw"});
  ASSERT_EQ(adamw->state(whole).size(), 2u);
  ASSERT_EQ(adamw->state(split).size(), 3u);
  EXPECT_STREQ(adamw->state(split)[0].name, kMasterLow);
  EXPECT_EQ(adamw->state(split)[0].dtype, DType::i16);
  EXPECT_EQ(adamw->state(split)[2].count, 210);
  EXPECT_EQ(adamw->workspace_bytes(split), 0);
  EXPECT_EQ(adamw->cost(split).bytes_read, 210 * 16);
  EXPECT_EQ(adamw->cost(split).bytes_written, 210 * 12);
  const auto half = make_update_rule({.name = "adamw", .moment_dtype = DType::bf16});
  EXPECT_EQ(half->state(whole)[0].dtype, DType::bf16);
  EXPECT_EQ(half->cost(whole).bytes_written, 210 * 8);
  EXPECT_EQ(make_update_rule({.name = "sgd"})->state(whole).size(), 0u);
  const auto adafactor = make_update_rule({.name = "adafactor"});
  EXPECT_EQ(adafactor->state(whole)[0].count, 30);
  EXPECT_EQ(adafactor->state(whole)[1].count, 7);
  EXPECT_EQ(adafactor->state({.shape = Shape{4, 30, 7}})[1].count, 28);
  EXPECT_EQ(adafactor->state({.shape = Shape{30}})[0].count, 30);
  EXPECT_GT(adafactor->workspace_bytes(whole), 0);
  EXPECT_THROW(adafactor->workspace_bytes({.shape = Shape{1, 1ll << 61}}), Error);
  EXPECT_THROW(adamw->state({.shape = Shape{3}, .dtype = DType::f16}), Error);
}

TEST(Update, RefusesBadCallsAndChangesNothing) {
  const ParameterSpec spec{.shape = Shape{2, 2}};
  for (const OptimizerOptions& options : all_rules()) {
    const std::unique_ptr<UpdateRule> rule = make_update_rule(options);
    const size_t buffers = rule->state(spec).size();
    std::vector<float> weight(4, 1.0f);
    const std::vector<float> gradient(4, 1.0f);
    std::vector<std::vector<float>> memory(buffers, std::vector<float>(4));
    std::vector<void*> state;
    for (auto& buffer : memory) state.push_back(buffer.data());
    std::vector<double> workspace(64);
    const UpdateArgs good{weight.data(), gradient.data(), state, 1, 0.1, 1, workspace.data()};
    std::vector<UpdateArgs> bad(6, good);
    bad[0].weight = nullptr;
    bad[1].gradient = nullptr;
    bad[2].step = 0;
    bad[3].lr = std::nan("");
    bad[4].gradient_scale = std::numeric_limits<double>::infinity();
    std::vector<void*> more(buffers + 1, weight.data());
    bad[5].state = more;
    for (const UpdateArgs& args : bad) EXPECT_FALSE(rule->update(spec, args).ok());
    EXPECT_FALSE(rule->update({.shape = Shape{2, 2}, .dtype = DType::i32}, good).ok());
    EXPECT_EQ(weight, std::vector<float>(4, 1.0f));
    EXPECT_TRUE(rule->update(spec, good).ok());
    EXPECT_NE(weight, std::vector<float>(4, 1.0f));
  }
}

TEST(Update, RefusesBadOptions) {
  const double nan = std::nan("");
  const std::vector<OptimizerOptions> bad = {
      {.name = "adam"},
      {.name = ""},
      {.name = "adamw", .beta1 = 1},
      {.name = "adamw", .beta2 = -0.1},
      {.name = "adamw", .eps = nan},
      {.name = "adamw", .weight_decay = -1},
      {.name = "adamw", .moment_dtype = DType::i16},
      {.name = "sgd", .momentum = 1},
      {.name = "sgd", .nesterov = true},
      {.name = "sgd", .weight_decay = nan},
      {.name = "adafactor", .decay_rate = 0},
      {.name = "adafactor", .clip_threshold = 0},
      {.name = "adafactor", .eps1 = 0.0},
      {.name = "adafactor", .eps2 = -1},
      {.name = "adafactor", .moment_dtype = DType::bf16},
  };
  for (const OptimizerOptions& options : bad) EXPECT_THROW(make_update_rule(options), Error);
  try {
    make_update_rule({.name = "adam"});
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
    EXPECT_NE(std::string(error.what()).find("adamw, sgd, adafactor"), std::string::npos);
  }
}

}  // namespace
}  // namespace outsize
