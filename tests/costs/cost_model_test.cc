// The cost model for sense: order, fallbacks, exactness at measured points. How near it comes to
// real kernels is a benchmark (`outsize bench ops`), not a test.
#include "costs/cost_model.h"

#include <gtest/gtest.h>

#include "core/clock.h"
#include "core/rng.h"
#include "costs/measure_ops.h"
#include "costs/op_samples.h"
#include "costs/product_rate.h"
#include "ops/add/add.h"
#include "ops/attention/attention.h"
#include "ops/embedding/embedding.h"
#include "ops/linear/linear.h"
#include "ops/lm_loss/lm_loss.h"
#include "ops/rope/rope.h"

namespace outsize {
namespace {

Machine bare_machine() {
  Machine machine;
  machine.cpu.cores = 2;
  machine.cpu.gemm_f32_gflops = Rate{100, 100, 100};
  machine.cpu.gemm_bf16_gflops = Rate{200, 200, 200};
  machine.ram.copy_gb_per_second = Rate{20, 20, 20};
  return machine;
}

OpCall linear_call(DType dtype, std::int64_t tokens, std::int64_t in, std::int64_t out) {
  OpCall call{&linear_op(), {}, {{dtype, {tokens, in}}, {dtype, {out, in}}}, {}};
  call.outputs = call.op->infer(call.attrs, call.inputs);
  return call;
}

OpCall add_call(std::int64_t rows, std::int64_t columns) {
  const ValueType x{DType::f32, {rows, columns}};
  return {&add_op(), {}, {x, x}, {x}};
}

// Rates that differ from corner to corner, as measured ones do.
Machine machine_with_grid() {
  Machine machine = bare_machine();
  for (const std::int64_t m : {64, 512})
    for (const std::int64_t k : {64, 512})
      for (const std::int64_t n : {64, 512}) {
        const double rate = 10 + static_cast<double>(m + 2 * k + 3 * n) / 50;
        machine.cpu.gemm_shapes.push_back(
            {DType::f32, {m, k, n}, {rate, rate, rate}, GemmForm::nt});
      }
  machine.ops.push_back({"add", "f32", 64, {{1000, 12000, 1e-5}, {100000, 1200000, 5e-4}}});
  return machine;
}

TEST(CostModel, WhatWasMeasuredGoesBeforeRates) {
  Machine machine = machine_with_grid();
  const OpCall known = add_call(3, 5), other = add_call(3, 6);
  const double by_rates = CostModel(machine).seconds(other);
  machine.calls = {{to_string(known), 0.25}};
  EXPECT_EQ(CostModel(machine).seconds(known), 0.25);
  EXPECT_EQ(CostModel(machine).seconds(other), by_rates);
}

TEST(CostModel, MoreWorkNeverCostsLess) {
  for (const Machine& machine : {bare_machine(), machine_with_grid()}) {
    const CostModel costs(machine);
    const std::int64_t sizes[] = {1, 7, 64, 100, 300, 512, 700, 4096};
    for (size_t i = 1; i < std::size(sizes); ++i) {
      const std::int64_t small = sizes[i - 1], large = sizes[i];
      for (const std::int64_t other : sizes) {
        const auto seconds = [&](std::int64_t m, std::int64_t k, std::int64_t n) {
          return costs.seconds(linear_call(DType::f32, m, k, n));
        };
        EXPECT_LE(seconds(small, other, 64), seconds(large, other, 64));
        EXPECT_LE(seconds(other, small, 64), seconds(other, large, 64));
        EXPECT_LE(seconds(64, other, small), seconds(64, other, large));
        EXPECT_LE(costs.seconds(add_call(small, other)), costs.seconds(add_call(large, other)));
      }
    }
  }
}

TEST(CostModel, MeasuredPointsAreMet) {
  const Machine machine = machine_with_grid();
  const CostModel costs(machine);
  for (const GemmRate& rate : machine.cpu.gemm_shapes) {
    const GemmShape& s = rate.shape;
    const double flops = 2.0 * static_cast<double>(s.m * s.k * s.n);
    EXPECT_NEAR(costs.seconds(linear_call(DType::f32, s.m, s.k, s.n)) * rate.gflops.median * 1e9,
                flops, 1e-6 * flops);
  }
  EXPECT_NEAR(costs.seconds(add_call(1, 1000)), 1e-5, 1e-12);
  EXPECT_NEAR(costs.seconds(add_call(100, 1000)), 5e-4, 1e-12);
  EXPECT_NEAR(costs.seconds(add_call(200, 1000)), 1e-3, 1e-12);
}

// A rotation reads its table whatever the count of heads: bytes decide, not FLOPs.
TEST(CostModel, OpsThatMoveBytesArePricedAlongThem) {
  const auto rope = [](std::int64_t heads) {
    const ValueType x{DType::f32, {100, heads * 64}};
    return OpCall{&rope_op(), {{"head_dim", std::int64_t{64}}}, {x, {DType::f32, {100, 64}}}, {x}};
  };
  Machine machine = bare_machine();
  const OpWork four = work_of(rope(4));
  machine.ops.push_back({"rope", "f32", 64, {{four.work, four.bytes, 9e-3}}});
  const CostModel costs(machine);
  EXPECT_NEAR(costs.seconds(rope(4)), 9e-3, 1e-9);
  // Three of nine parts, table and x and y, less what a call costs by itself.
  EXPECT_NEAR(costs.seconds(rope(1)), 3e-3, 1e-5);
}

// Heads in groups have rates of their own; without them those of other heads hold.
TEST(CostModel, GroupedAttentionFallsBackOnOtherHeads) {
  const auto call = [](std::int64_t kv_heads) {
    const AttentionOptions options{
        .heads = 4, .kv_heads = kv_heads, .head_dim = 64, .row_length = 32};
    const ValueType q{DType::f32, {64, 256}}, kv{DType::f32, {64, kv_heads * 64}};
    OpCall result{&attention_op(), to_attrs(options), {q, kv, kv, {DType::i32, {64}}}, {}};
    result.outputs = result.op->infer(result.attrs, result.inputs);
    return result;
  };
  const OpWork alone = work_of(call(4)), grouped = work_of(call(1));
  ASSERT_EQ(alone.work, grouped.work);
  Machine machine = bare_machine();
  machine.ops.push_back({"attention", "f32", 64, {{alone.work, alone.bytes, 5e-3}}});
  EXPECT_NEAR(CostModel(machine).seconds(call(1)), 5e-3, 1e-9);
  machine.ops.push_back({"attention", "f32 grouped", 64, {{grouped.work, grouped.bytes, 4e-3}}});
  EXPECT_NEAR(CostModel(machine).seconds(call(1)), 4e-3, 1e-9);
  EXPECT_NEAR(CostModel(machine).seconds(call(4)), 5e-3, 1e-9);
}

// A table that caches hold has rates of its own; without them those of other tables hold.
TEST(CostModel, SmallTablesFallBackOnOthers) {
  const auto call = [](std::int64_t words) {
    OpCall result{
        &embedding_op(), {{"scale", 1.0}}, {{DType::f32, {words, 64}}, {DType::i32, {32}}}, {}};
    result.outputs = result.op->infer(result.attrs, result.inputs);
    return result;
  };
  const OpCall large = call(1 << 16), small = call(1 << 10);
  const OpWork work = work_of(large);
  Machine machine = bare_machine();
  machine.ops.push_back({"embedding", "f32", 64, {{work.work, work.bytes, 5e-3}}});
  EXPECT_NEAR(CostModel(machine).seconds(small), 5e-3, 1e-9);
  machine.ops.push_back({"embedding", "f32 small", 64, {{work.work, work.bytes, 4e-3}}});
  EXPECT_NEAR(CostModel(machine).seconds(small), 4e-3, 1e-9);
  EXPECT_NEAR(CostModel(machine).seconds(large), 5e-3, 1e-9);
}

TEST(CostModel, PeaksStepInWhereNothingWasMeasured) {
  const CostModel costs(bare_machine());
  const double slow = costs.seconds(linear_call(DType::f32, 512, 512, 512));
  const double fast = costs.seconds(linear_call(DType::bf16, 512, 512, 512));
  EXPECT_GT(slow, 2.0 * 512 * 512 * 512 / 100e9);
  EXPECT_LT(fast, slow);
  EXPECT_GT(costs.seconds(add_call(1 << 10, 1 << 10)), 12e6 / 20e9);
  EXPECT_FALSE(costs.knows(work_of(add_call(1, 1))));
}

// A product of one row reads its whole matrix: memory's rate bounds it, however fast many rows are.
TEST(CostModel, ProductsOfFewRowsWaitForMemory) {
  for (Machine machine : {bare_machine(), machine_with_grid()}) {
    machine.ram.read_gb_per_second = Rate{10, 10, 10};
    const double bytes = 4.0 * 4096 * 4096;
    EXPECT_GT(CostModel(machine).seconds(linear_call(DType::f32, 1, 4096, 4096)), bytes / 10e9);
    const double many = CostModel(machine).seconds(linear_call(DType::f32, 4096, 4096, 4096));
    machine.ram.read_gb_per_second = Rate{100, 100, 100};
    EXPECT_EQ(CostModel(machine).seconds(linear_call(DType::f32, 4096, 4096, 4096)), many);
  }
}

// An op is free of cost only when it has nothing to do.
TEST(CostModel, EverySampleHasACost) {
  for (const Machine& machine : {bare_machine(), machine_with_grid()})
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const OpSample& sample : op_samples(dtype, 1 << 12))
        EXPECT_GT(CostModel(machine).seconds(sample.call), 0) << to_string(sample.call);
}

TEST(CostModel, ProductsOfTheLossAreItsFlops) {
  for (const std::int64_t rows : {16, 100, 3000}) {
    OpCall call{&lm_loss_grad_op(),
                {},
                {{DType::f32, {rows, 32}},
                 {DType::f32, {500, 32}},
                 {DType::i32, {rows}},
                 {DType::f64, {1}}},
                {}};
    call.outputs = call.op->infer(call.attrs, call.inputs);
    double flops = 0;
    for (const Product& p : call.op->products(call.query()))
      flops += p.count * 2.0 * static_cast<double>(p.m * p.k * p.n);
    EXPECT_NEAR(flops, call.op->cost(call.query()).flops, 1e-9 * flops);
  }
}

// A tiny measurement of everything: what it finds must be known to the model and in order.
TEST(MeasureCosts, EveryOpAndOptimizerIsFound) {
  Machine machine = bare_machine();
  MeasureOptions options;
  options.product_sides = {8, 24};
  options.elements = {1 << 10, 1 << 12};
  options.repeats = 1;
  options.cache_bytes = 1 << 20;
  measure_costs(options, machine);
  const CostModel costs(machine);
  for (const OpSample& sample : op_samples(DType::f32, 1 << 12))
    EXPECT_TRUE(costs.knows(work_of(sample.call))) << to_string(sample.call);
  for (const char* name : {"adamw", "sgd", "adafactor"})
    EXPECT_TRUE(costs.knows(work_of_update(*make_update_rule({.name = name, .momentum = 0.9}),
                                           {{4, 4}, DType::f32, true})))
        << name;
  EXPECT_TRUE(costs.knows(work_of_norm(100)));
  for (const OpRate& rate : machine.ops)
    for (size_t i = 1; i < rate.points.size(); ++i) {
      EXPECT_GT(rate.points[i].work, rate.points[i - 1].work) << rate.op;
      EXPECT_GE(rate.points[i].seconds, rate.points[i - 1].seconds) << rate.op;
    }
}

// The round before the one that counts is in the time here as well.
TEST(ProductRate, CountsWhatItDoes) {
  ProductRate rate;
  const double start = seconds_now();
  const double gflops = rate.gflops(0);
  const double both_rounds = seconds_now() - start;
  constexpr double kRound = 3 * 2.0 * 2048 * 2048 * 2048 / 1e9;
  EXPECT_GT(gflops, kRound / both_rounds);
  EXPECT_LT(gflops, 1e5);
}

}  // namespace
}  // namespace outsize
