// Foretold time, from machine file to plan, JSON and trace. Rates are made up: nothing is timed.
#include "train/foretell.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "exec/compiled_graph.h"
#include "machine/machine_file.h"
#include "ops/lm_loss/lm_loss.h"
#include "tiny.h"
#include "train/engine.h"
#include "train/show_plan.h"

namespace outsize {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using train_test::tiny_model;

Machine made_up(double gflops) {
  Machine machine;
  machine.name = "made up";
  machine.cpu.cores = thread_count();
  machine.cpu.isa = name_of(active_isa());
  machine.cpu.gemm_f32_gflops = Rate{gflops, gflops, gflops};
  machine.ram.total_bytes = 1 << 30;
  machine.ram.copy_gb_per_second = Rate{10, 10, 10};
  return machine;
}

struct Foretold {
  explicit Foretold(double gflops, int accumulation = 2)
      : machine(made_up(gflops)),
        model(tiny_model("llama")),
        engine(*model, {2, 32, accumulation, DType::f32, false}, {.name = "adamw"},
               PlanningOptions{.machine = &machine}),
        forecast(engine.plan(), machine) {}
  Machine machine;
  std::unique_ptr<Model> model;
  TrainingEngine engine;
  Forecast forecast;
};

TEST(Foretell, EveryTaskHasATimeAndTheStepIsTheirSum) {
  const Foretold it(10);
  double sum = 0;
  for (const Task& task : it.engine.plan().tasks) {
    EXPECT_GT(task.seconds, 0) << task_name(it.engine.program(), task);
    if (!task.target_seconds.empty()) {
      ASSERT_EQ(task.target_seconds.size(), kTargetPrices);
      EXPECT_LE(task.target_seconds.front(), task.seconds);
    }
    sum += task.seconds;
  }
  // One resource so far, so nothing overlaps.
  EXPECT_NEAR(it.forecast.step().seconds, sum, 1e-9 * sum);
  EXPECT_EQ(it.forecast.step().limit, Resource::cpu);
  EXPECT_NEAR(it.forecast.step().idle(Resource::cpu), 0, 1e-9);
}

TEST(Foretell, FasterMachinesAndFewerTargetsTakeLess) {
  const Foretold slow(1), fast(100);
  EXPECT_LT(fast.forecast.step().seconds, slow.forecast.step().seconds);
  EXPECT_LT(slow.forecast.seconds(0.1), slow.forecast.seconds(0.9));
  EXPECT_DOUBLE_EQ(slow.forecast.seconds(1), slow.forecast.step().seconds);
  EXPECT_GT(slow.forecast.seconds(0), 0);
}

TEST(Foretell, TargetsArePricedStraightBetweenHalves) {
  const std::vector<double> prices = {8, 5, 3};  // at 1, 1/2, 1/4
  EXPECT_DOUBLE_EQ(at_target_share(prices, 1), 8);
  EXPECT_DOUBLE_EQ(at_target_share(prices, 0.75), 6.5);
  EXPECT_DOUBLE_EQ(at_target_share(prices, 0.5), 5);
  EXPECT_DOUBLE_EQ(at_target_share(prices, 0.375), 4);
  EXPECT_DOUBLE_EQ(at_target_share(prices, 0.25), 3);
  EXPECT_DOUBLE_EQ(at_target_share(prices, 0.125), 1.5);
  EXPECT_DOUBLE_EQ(at_target_share(prices, 0), 0);
  EXPECT_DOUBLE_EQ(at_target_share({}, 0.5), 0);
}

// A head with few targets reads and writes whole weights for few rows.
TEST(Foretell, FewTargetsTakeMoreThanTheirShare) {
  const auto price = [](const OpCall& call) {
    return 1.0 + static_cast<double>(call.inputs[0].shape[0]);
  };
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {1024, 4}});
  const ValueId w = graph.add_parameter("w", {DType::f32, {50, 4}});
  const ValueId targets = graph.add_input("targets", {DType::i32, {1024}});
  graph.add_output("loss", lm_loss(graph, x, w, targets));
  KernelCache kernels;
  const auto seconds = compile(graph, {}, kernels).seconds(price);
  EXPECT_EQ(seconds.all, 1025);
  EXPECT_THAT(seconds.targets, testing::ElementsAre(1025, 513, 257, 129, 65, 33, 17, 17));
}

TEST(Foretell, PlansWithoutAMachineHaveNoTime) {
  const auto model = tiny_model("gpt2");
  const TrainingEngine engine(*model, {2, 32, 1, DType::f32, false}, {}, 0);
  for (const Task& task : engine.plan().tasks) EXPECT_EQ(task.seconds, 0);
  PlanContext context{2, 1, 32, DType::f32, "adamw", 0, 10};
  context.machine_note = "no machine.json";
  EXPECT_THAT(describe_plan(*model, engine, context), HasSubstr("no machine.json"));
  const nlohmann::json json = plan_to_json(*model, engine, context);
  EXPECT_TRUE(json["predicted_seconds"].is_null());
  EXPECT_TRUE(json["forecast"].is_null());
}

TEST(Foretell, ThePlanTellsItsTime) {
  const Foretold it(5);
  PlanContext context{2, 2, 32, DType::f32, "adamw", 0, 1000};
  context.forecast = &it.forecast;
  EXPECT_THAT(describe_plan(*it.model, it.engine, context),
              testing::AllOf(HasSubstr("s foretold"), HasSubstr("1000 steps"),
                             HasSubstr("limit    cpu: busy 100 % of the step")));
  const nlohmann::json json = plan_to_json(*it.model, it.engine, context);
  const double seconds = json["predicted_seconds"].get<double>();
  EXPECT_EQ(seconds, it.forecast.step().seconds);
  EXPECT_DOUBLE_EQ(json["forecast"]["run_seconds"].get<double>(), 1000 * seconds);
  EXPECT_DOUBLE_EQ(json["forecast"]["tokens_per_second"].get<double>(), 128 / seconds);
  EXPECT_EQ(json["forecast"]["limit"], "cpu");
  for (const char* key : {"busy_seconds", "idle_seconds", "critical_seconds"})
    for (const char* resource : {"cpu", "disk_read", "disk_write"})
      EXPECT_TRUE(json["forecast"][key][resource].is_number()) << key << resource;
}

TEST(Foretell, TheTraceHasEveryTaskOnceOnEachSide) {
  const Foretold it(5);
  const Plan& plan = it.engine.plan();
  const std::vector<TaskTime> measured(plan.tasks.size(), {0.5, 0.75});
  const nlohmann::json trace =
      nlohmann::json::parse(step_trace(it.engine.program(), plan, &it.forecast.step(), &measured));
  std::map<int, std::vector<int>> seen;
  for (const auto& event : trace["traceEvents"])
    if (event["ph"] == "X")
      seen[event["pid"].get<int>()].push_back(event["args"]["task"].get<int>());
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] != "X") continue;
    const bool foretold = event["args"].contains("measured_ms");  // what the other side says
    ASSERT_NE(foretold, event["args"].contains("foretold_ms"));
    EXPECT_NEAR(
        foretold ? event["args"]["measured_ms"].get<double>() : event["dur"].get<double>() / 1e3,
        250, 1e-6);
  }
  ASSERT_EQ(seen.size(), 2u);
  for (const auto& [side, tasks] : seen) {
    ASSERT_EQ(tasks.size(), plan.tasks.size());
    for (size_t t = 0; t < tasks.size(); ++t) EXPECT_EQ(tasks[t], static_cast<int>(t));
  }
}

TEST(Foretell, TargetsAreATimelineToo) {
  const Foretold it(5);
  const Plan& plan = it.engine.plan();
  EXPECT_DOUBLE_EQ(play(plan, it.machine, 1).seconds, it.forecast.step().seconds);
  EXPECT_DOUBLE_EQ(play(plan, it.machine, 0).seconds, it.forecast.seconds(0));
  EXPECT_NEAR(play(plan, it.machine, 0.3).seconds, it.forecast.seconds(0.3), 1e-12);
}

// Two resources, each busy half of the time: neither is the limit.
TEST(Foretell, WhereTasksWaitForEachOtherThatIsTheLimit) {
  Plan plan;
  for (int t = 0; t < 4; ++t) {
    Task task{.resource = t % 2 == 0 ? Resource::cpu : Resource::disk_read, .seconds = 1};
    if (t > 0) task.after = {t - 1};
    plan.tasks.push_back(std::move(task));
  }
  const Machine machine = made_up(10);
  const Forecast waiting(plan, machine);
  EXPECT_EQ(waiting.limit().name, "waiting");
  EXPECT_DOUBLE_EQ(waiting.limit().busy_share, 0.5);
  EXPECT_THAT(describe_forecast(waiting, 1, 0),
              HasSubstr("limit    waiting: none is busy more than 50 % of the step; its longest "
                        "chain is cpu 50 %, disk_read 50 %"));
  plan.tasks[3].seconds = 100;
  EXPECT_EQ(Forecast(plan, machine).limit().name, "disk_read");
}

TEST(Foretell, TheMachineFileIsLookedAtBeforeItIsBelieved) {
  const train_test::TemporaryFolder folder;
  const std::string path = folder.path("machine.json");
  EXPECT_FALSE(choose_machine(path).machine);
  EXPECT_THAT(choose_machine(path).note, HasSubstr("`outsize profile` writes it"));
  Machine machine = made_up(10);
  write_machine(machine, path);  // by hand: no date, so no age
  EXPECT_TRUE(choose_machine(path).machine);
  EXPECT_THAT(choose_machine(path).note, IsEmpty());
  machine.measured_at = "2020-01-01T00:00:00Z";
  write_machine(machine, path);
  EXPECT_THAT(choose_machine(path).note, testing::AllOf(HasSubstr("old"), HasSubstr(" d ")));
  machine.measured_at = "2999-01-01T00:00:00Z";
  machine.cpu.cores += 1;
  write_machine(machine, path);
  EXPECT_THAT(choose_machine(path).note, HasSubstr("the rates are for"));
  folder.write("machine.json", "{");
  EXPECT_THROW(choose_machine(path), Error);
}

TEST(Foretell, DiskRatesAndSlowdownsReachTheSimulator) {
  Machine machine = made_up(10);
  machine.slowdown["cpu"]["disk_read"] = 1.25;
  machine.slowdown["disk_write"]["disk_read"] = 2;
  machine.disk.emplace();
  machine.disk->read_gb_per_second = {2, 2, 2};
  machine.disk->write_gb_per_second = {1, 1, 1};
  machine.disk->latency_seconds = 1e-4;
  const SimulatedMachine how = simulated(machine);
  EXPECT_EQ(how.slowdown[0][1], 1.25);
  EXPECT_EQ(how.slowdown[0][2], 1);
  EXPECT_EQ(how.slowdown[2][1], 2);
  EXPECT_EQ(how.bytes_per_second[0], 0);
  EXPECT_EQ(how.bytes_per_second[1], 2e9);
  EXPECT_EQ(how.bytes_per_second[2], 1e9);
  EXPECT_EQ(how.latency_seconds[2], 1e-4);
}

}  // namespace
}  // namespace outsize
