#include "train/show_plan.h"

#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "core/isa.h"
#include "core/parallel.h"
#include "train/tier_table.h"
#include "train/trial.h"

namespace outsize {
namespace {

std::int64_t parameter_count(const TrainingEngine& engine) {
  std::int64_t count = 0;
  for (const ProgramParameter& parameter : engine.program().parameters)
    count += parameter.type.shape.numel();
  return count;
}

std::string show_count(std::int64_t count) {
  if (count >= 1'000'000'000) return fmt::format("{:.2f} B", static_cast<double>(count) / 1e9);
  return fmt::format("{:.1f} M", static_cast<double>(count) / 1e6);
}

}  // namespace

std::string show_bytes(std::int64_t bytes) {
  if (bytes >= 1ll << 30) return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1 << 30));
  if (bytes >= 1ll << 20) return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
  return fmt::format("{:.1f} KiB", static_cast<double>(bytes) / (1 << 10));
}

namespace {

// What the machine file says, as far as plans hang on it.
std::string describe_rates(const Machine& machine, DType dtype) {
  const auto& gemm =
      dtype == DType::bf16 ? machine.cpu.gemm_bf16_gflops : machine.cpu.gemm_f32_gflops;
  std::string text;
  if (gemm) text += fmt::format(" · {} {:.2f} TFLOP/s", name_of(dtype), gemm->median / 1e3);
  text += fmt::format(" · RAM {}", show_bytes(machine.usable_ram_bytes()));
  if (machine.disk)
    text += fmt::format(" · disk {:.1f} read, {:.1f} write GB/s",
                        machine.disk->read_gb_per_second.median,
                        machine.disk->write_gb_per_second.median);
  const std::string age = show_age(machine, static_cast<double>(std::time(nullptr)));
  return age.empty() ? text : text + fmt::format(" ({})", age);
}

// What goes to disk, and which plans were second.
std::string describe_streams(const TrainingEngine& engine, const PlanContext& context) {
  const Plan& plan = engine.plan();
  if (engine.candidates().empty()) return "";
  const auto& fitting = engine.candidates();
  std::string text = fmt::format("plan     {}", fitting.front().name);
  if (fitting.size() > 1 && fitting.front().seconds > 0)
    text += fmt::format(
        "; next: {}, {}+{:.1f} %", fitting[1].name,
        context.forecast != nullptr ? fmt::format("{:.2f} s, ", fitting[1].seconds) : "",
        100 * (fitting[1].seconds / fitting[0].seconds - 1));
  text += "\n";
  if (!engine.durable()) return text;
  const Traffic traffic = traffic_of(plan);
  const std::int64_t two_slots = engine.store_file_bytes(StoreScheme::two_slots);
  text += plan.log_bytes > 0
              ? fmt::format(
                    "disk     one spare slot + gradient log: {} on disk (two slots would "
                    "take {}), scratch {}",
                    show_bytes(engine.store_file_bytes()), show_bytes(two_slots),
                    show_bytes(engine.scratch_bytes()))
              : fmt::format("disk     two slots: {} on disk, scratch {}", show_bytes(two_slots),
                            show_bytes(engine.scratch_bytes()));
  return text + fmt::format("; per step {} read, {} written\n",
                            show_bytes(static_cast<std::int64_t>(traffic.read)),
                            show_bytes(static_cast<std::int64_t>(traffic.written)));
}

nlohmann::json layout_name(const TrainingEngine& engine) {
  if (!engine.durable()) return nullptr;
  return engine.plan().log_bytes > 0 ? "ring" : "two_slots";
}

}  // namespace

nlohmann::json streams_to_json(const TrainingEngine& engine) {
  const Traffic traffic = traffic_of(engine.plan());
  nlohmann::json candidates = nlohmann::json::array();
  for (const Candidate& candidate : engine.candidates())
    candidates.push_back({{"plan", candidate.name},
                          {"seconds", candidate.seconds},
                          {"arena_bytes", candidate.arena_bytes}});
  return {{"candidates", candidates},
          {"store_bytes", engine.plan().store_bytes},
          {"store", layout_name(engine)},
          {"store_file_bytes", engine.durable() ? engine.store_file_bytes() : 0},
          {"scratch_bytes", engine.scratch_bytes()},
          {"read_bytes_per_step", traffic.read},
          {"written_bytes_per_step", traffic.written}};
}

std::string describe_plan(const Model& model, const TrainingEngine& engine,
                          const PlanContext& context) {
  const ModelInfo info = model.info();
  const Plan& plan = engine.plan();
  std::string text =
      fmt::format("model    {} {} parameters ({} layers, width {}, vocabulary {}{})\n", info.family,
                  show_count(parameter_count(engine)), info.layers, info.width, info.vocabulary,
                  info.tied ? ", tied" : "");
  text += fmt::format(
      "machine  {} threads, {}{}\n", thread_count(), name_of(active_isa()),
      context.machine != nullptr ? describe_rates(*context.machine, context.dtype) : "");
  text += fmt::format("run      {}, {}, {} x {} rows of {} tokens per step{}\n\n",
                      context.optimizer, name_of(context.dtype), context.accumulation, context.rows,
                      context.sequence_length,
                      context.steps > 0 ? fmt::format(", {} steps", context.steps) : "");
  text +=
      tier_table(plan, {engine.arena_bytes(), context.budget_bytes,
                        engine.durable() ? engine.store_file_bytes() + engine.scratch_bytes() : 0});
  text += fmt::format(
      "\nColumns are the peaks of each kind; gradients use memory that activations leave, so "
      "they\nadd up to more than the peak. The process itself takes at most {} beside it.\n",
      show_bytes(kProcessBytes));
  text += fmt::format("\n{}", describe_streams(engine, context));
  if (context.disk != nullptr) text += describe(*context.disk);
  text += fmt::format("step     {:.2f} TFLOP of model arithmetic in {} tasks\n",
                      engine.model_flops() / 1e12, plan.tasks.size());
  if (context.forecast != nullptr)
    text += describe_forecast(*context.forecast, context.tokens(), context.steps);
  if (!context.machine_note.empty()) text += fmt::format("         {}\n", context.machine_note);
  return text;
}

nlohmann::json plan_to_json(const Model& model, const TrainingEngine& engine,
                            const PlanContext& context) {
  const Plan& plan = engine.plan();
  const bool known = context.forecast != nullptr;
  const auto disk_bytes = disk_bytes_by_kind(plan);
  nlohmann::json kinds = nlohmann::json::object(), on_disk = nlohmann::json::object();
  for (int kind = 0; kind < kBufferKindCount; ++kind) {
    const auto k = static_cast<size_t>(kind);
    kinds[name_of(static_cast<BufferKind>(kind))] = plan.peak_bytes_by_kind[k];
    on_disk[name_of(static_cast<BufferKind>(kind))] = disk_bytes[k];
  }
  return {{"family", model.info().family},
          {"parameters", parameter_count(engine)},
          {"rows", context.rows},
          {"accumulation", context.accumulation},
          {"sequence_length", context.sequence_length},
          {"dtype", name_of(context.dtype)},
          {"optimizer", context.optimizer},
          {"steps", context.steps},
          {"peak_bytes_by_kind", kinds},
          {"disk_bytes_by_kind", on_disk},
          {"arena_bytes", engine.arena_bytes()},
          {"process_bytes", kProcessBytes},
          {"budget_bytes", context.budget_bytes},
          {"model_flops_per_step", engine.model_flops()},
          {"streams", streams_to_json(engine)},
          {"tasks", plan.tasks.size()},
          {"buffers", plan.buffers.size()},
          {"predicted_seconds", known ? nlohmann::json(context.forecast->step().seconds) : nullptr},
          {"forecast",
           known ? forecast_to_json(*context.forecast, context.tokens(), context.steps) : nullptr},
          {"machine_note", context.machine_note},
          {"disk", context.disk != nullptr ? to_json(*context.disk) : nullptr}};
}

}  // namespace outsize
