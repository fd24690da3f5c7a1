// What changes would buy, the smallest budget, the curve between: all by planning. Rates are made
// up: nothing is timed.
#include "train/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "config/load.h"
#include "config/value.h"
#include "core/error.h"
#include "models/model.h"
#include "train/memory_curve.h"
#include "train/show_plan.h"
#include "train/tier_table.h"

namespace outsize {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::int64_t kMiB = 1 << 20;

// State of some 25 MiB, so that budgets in whole MiB make a difference; an SSD that the arithmetic
// cannot hide.
struct Situation {
  Situation() {
    model = model_from_hf_config({{"model_type", "llama"},
                                  {"hidden_size", 128},
                                  {"intermediate_size", 512},
                                  {"num_hidden_layers", 6},
                                  {"num_attention_heads", 4},
                                  {"vocab_size", 261},
                                  {"tie_word_embeddings", true},
                                  {"max_position_embeddings", 512}},
                                 "tiny");
    machine.cpu.gemm_f32_gflops = Rate{100, 100, 100};
    machine.ram.copy_gb_per_second = Rate{20, 20, 20};
    machine.disk.emplace();
    machine.disk->read_gb_per_second = machine.disk->write_gb_per_second = {0.2, 0.2, 0.2};
    config = default_config();
    config.data.sequence_length = 128;
    config.train.global_batch = 8;
    config.train.microbatch = 8;
    config.train.dtype = DType::f32;
    config.budget.memory = 2ll << 30;
  }
  Trials trials(bool timed = true) const {
    return {*model, config, {.machine = timed ? &machine : nullptr, .may_use_disk = true}};
  }

  std::unique_ptr<Model> model;
  Machine machine;
  RunConfig config;
};

Trial run_of(const Trials& trials) {
  return trials.plan(trials.config());
}

TEST(Explain, ChangesAreTriedByPlanning) {
  Situation it;
  const Trial smallest = it.trials().smallest(), resident = it.trials().resident();
  it.config.budget.memory = smallest.memory_bytes + 4 * kMiB;
  const Trials trials = it.trials();
  const Explanation why = explain(trials, run_of(trials), 0.1);
  ASSERT_EQ(why.changes.size(), 4u);
  const Trial &memory = why.changes[0].trial, &disk = why.changes[1].trial,
              &moments = why.changes[2].trial, &unclipped = why.changes[3].trial;
  EXPECT_GT(why.base.store_bytes, 0);
  EXPECT_EQ(memory.store_bytes, 0);
  EXPECT_DOUBLE_EQ(memory.seconds, resident.seconds);
  EXPECT_LT(memory.seconds, why.base.seconds);
  EXPECT_LT(disk.seconds, 0.9 * why.base.seconds);
  EXPECT_LT(moments.store_bytes, why.base.store_bytes);
  EXPECT_LT(unclipped.seconds, why.base.seconds);
  const std::string text = describe(why);
  for (const char* part :
       {"+1 GiB RAM", "a disk twice as fast", "moments in bf16", "no clipping", " %)"})
    EXPECT_THAT(text, HasSubstr(part));
  EXPECT_EQ(to_json(why)["changes"][2]["setting"], "train.optimizer.moment_dtype=bf16");
  EXPECT_EQ(to_json(why)["changes"][3]["setting"], "train.clip=0");
  it.config.train.clip = 0;
  EXPECT_EQ(explain(it.trials(), run_of(it.trials()), 0.1).changes.size(), 3u);
}

TEST(Explain, NothingIsTriedWhereItCannotHelpOrTakesLong) {
  Situation it;
  const Trials trials = it.trials();
  const Trial base = run_of(trials);
  ASSERT_TRUE(base.all_in_ram());
  EXPECT_EQ(explain(trials, base, 0.1).changes.size(), 1u);  // moments
  EXPECT_TRUE(explain(trials, base, 60).changes.empty());
  EXPECT_THAT(describe(explain(trials, base, 60)), HasSubstr("not tried"));
  EXPECT_TRUE(explain(it.trials(false), base, 0.1).changes.empty());
  it.config.train.optimizer.name = "adafactor";
  EXPECT_TRUE(explain(it.trials(), base, 0.1).changes.empty());
}

TEST(Explain, TheSmallestBudgetPlansAndLessDoesNot) {
  const Situation it;
  const Trials trials = it.trials();
  const Trial smallest = trials.smallest();
  EXPECT_TRUE(smallest.fits);
  EXPECT_LE(smallest.peak_bytes, smallest.memory_bytes);
  const Trial less = trials.plan_with(smallest.memory_bytes - 2 * kMiB);
  EXPECT_FALSE(less.fits);
  EXPECT_GT(less.peak_bytes, less.memory_bytes);
  EXPECT_FALSE(trials.plan_with(kProcessBytes / 2).fits);
  const Trial resident = trials.resident();
  EXPECT_TRUE(trials.plan_with(resident.memory_bytes).all_in_ram());
  EXPECT_FALSE(trials.plan_with(resident.memory_bytes - 2 * kMiB).all_in_ram());
}

std::string refusal(const Trials& trials) {
  try {
    refuse(trials);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory);
    return error.what();
  }
}

TEST(Refuse, NamesABudgetAndTheGentlestChangeThatFit) {
  Situation it;
  const Trial smallest = it.trials().smallest();
  it.config.budget.memory = smallest.memory_bytes - 2 * kMiB;
  const std::string text = refusal(it.trials());
  EXPECT_THAT(text, HasSubstr("train.microbatch=4 within "));
  EXPECT_THAT(text, HasSubstr("rounding only"));
  EXPECT_THAT(text, HasSubstr(" s per step"));
  std::smatch found;
  ASSERT_TRUE(std::regex_search(text, found, std::regex("try budget.memory=([0-9]+[MG]iB)")));
  EXPECT_EQ(parse_size(found[1].str()), smallest.memory_bytes);
  it.config.train.microbatch = 4;
  EXPECT_TRUE(run_of(it.trials()).fits);
  EXPECT_THAT(refusal(it.trials(false)), Not(HasSubstr("s per step")));
}

// What it says is done as a user would, on a budget that a smaller microbatch alone does not fit.
TEST(Refuse, AddsChangesUpWhereNoneIsEnough) {
  const Situation it;
  const std::string text = fmt::format(
      "{{model: m, run: r, data: {{train: t, sequence_length: 128}}, budget: {{memory: "
      "{}}}, train: {{steps: 1, global_batch: 8, microbatch: 8, dtype: f32}}}}",
      kProcessBytes + 3 * kMiB);
  const PlanningOptions planning{.machine = &it.machine, .may_use_disk = true};
  const std::string said = refusal({*it.model, parse_config(text, "test"), planning});
  std::smatch found;
  ASSERT_TRUE(std::regex_search(said, found, std::regex(", or (.*) within "))) << said;
  std::istringstream words(found[1].str());
  const std::vector<std::string> settings{std::istream_iterator<std::string>(words), {}};
  EXPECT_GT(settings.size(), 1u) << said;
  const RunConfig changed = parse_config(text, "test", settings);
  EXPECT_TRUE(Trials(*it.model, changed, planning).plan(changed).fits) << said;
}

TEST(Refuse, SaysWhenNoChangeIsEnough) {
  Situation it;
  it.config.budget.memory = kProcessBytes / 2;
  EXPECT_THAT(refusal(it.trials()), HasSubstr("; no smaller microbatch"));
}

TEST(MemoryCurve, GoesFromTheSmallestBudgetToAllInRam) {
  const Situation it;
  const Trials trials = it.trials();
  int reports = 0;
  CurveOptions options{.points = 5};
  options.report = [&](const std::string&) { ++reports; };
  const MemoryCurve curve = memory_curve(trials, options);
  ASSERT_EQ(curve.points.size(), 5u);
  EXPECT_TRUE(curve.whole);
  EXPECT_EQ(reports, 4);
  EXPECT_EQ(curve.points.front().memory_bytes, trials.smallest().memory_bytes);
  EXPECT_TRUE(curve.points.back().all_in_ram());
  for (size_t i = 1; i < curve.points.size(); ++i) {
    EXPECT_GT(curve.points[i].memory_bytes, curve.points[i - 1].memory_bytes);
    EXPECT_GE(curve.points[i - 1].seconds, curve.points.back().seconds);
    EXPECT_LE(curve.points[i].peak_bytes, curve.points[i].memory_bytes);
  }
  EXPECT_LT(curve.points.back().seconds, 0.9 * curve.points.front().seconds);
  const nlohmann::json json = to_json(curve);
  EXPECT_EQ(json["points"].back()["resident_share"], 1.0);
  EXPECT_DOUBLE_EQ(json["points"][0]["tokens_per_second"].get<double>(),
                   8 * 128 / curve.points.front().seconds);
  EXPECT_THAT(describe(curve), HasSubstr("all in RAM"));
  const MemoryCurve again = memory_curve(trials, options);
  EXPECT_EQ(to_json(again), json);
  EXPECT_EQ(to_svg(again, "tiny"), to_svg(curve, "tiny"));
}

TEST(MemoryCurve, EndsWhenItsTimeIsOver) {
  const Situation it;
  CurveOptions options;
  options.seconds = 0;
  const MemoryCurve curve = memory_curve(it.trials(), options);
  EXPECT_FALSE(curve.whole);
  EXPECT_EQ(curve.points.size(), 2u);
  EXPECT_THAT(describe(curve), HasSubstr("fewer points"));
  EXPECT_THROW(memory_curve(it.trials(false)), Error);
}

TEST(TierTable, TellsWhatLiesOnDisk) {
  Situation it;
  const Trial smallest = it.trials().smallest();
  const TrainingEngine engine(
      *it.model, {.rows = 8, .sequence_length = 128, .accumulation = 1, .dtype = DType::f32}, {},
      PlanningOptions{.budget_bytes = smallest.memory_bytes - kProcessBytes,
                      .machine = &it.machine,
                      .may_use_disk = true});
  const auto bytes = disk_bytes_by_kind(engine.plan());
  const auto of = [&](BufferKind kind) { return bytes[static_cast<size_t>(kind)]; };
  EXPECT_EQ(of(BufferKind::weights) + of(BufferKind::optimizer), engine.plan().store_bytes);
  EXPECT_GE(of(BufferKind::optimizer), 2 * of(BufferKind::weights));  // two moments of each
  EXPECT_GT(of(BufferKind::gradients) + of(BufferKind::activations), 0);
  EXPECT_LE(std::max(of(BufferKind::gradients), of(BufferKind::activations)),
            engine.plan().scratch_bytes);
  EXPECT_THAT(tier_table(engine.plan(), {1 << 20, 0, 1 << 20}), HasSubstr("\ndisk "));
}

}  // namespace
}  // namespace outsize
