// The plan that docs/ARCHITECTURE.md prints is a real one: this test makes it anew and compares.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>

#include "exec/compiled_program.h"
#include "models/model.h"
#include "optim/update_rule.h"
#include "plan/check.h"
#include "plan/planner.h"

namespace outsize {
namespace {

// A Llama of two layers with 24 tokens in one microbatch: every kind of task, few of each.
Program tiny_program() {
  const nlohmann::json config = {{"model_type", "llama"},       {"hidden_size", 16},
                                 {"intermediate_size", 40},     {"num_hidden_layers", 2},
                                 {"num_attention_heads", 2},    {"vocab_size", 64},
                                 {"tie_word_embeddings", true}, {"max_position_embeddings", 64}};
  BuildOptions options;
  options.tokens = options.row_length = 24;
  options.dtype = DType::bf16;
  return model_from_hf_config(config, "tiny")->program(options);
}

Plan plan_of(const Program& program, KernelChoice kernels) {
  const CompiledProgram compiled(program, {.training = true, .kernels = kernels});
  const auto rule = make_update_rule({});
  TrainingRequest training;
  for (const ProgramParameter& parameter : program.parameters) {
    const ParameterSpec spec{parameter.type.shape, parameter.type.dtype, parameter.decay};
    training.optimizer.emplace_back();
    for (const StateBuffer& state : rule->state(spec))
      training.optimizer.back().push_back({state.name, state.count * size_of(state.dtype)});
    training.update_scratch_bytes.push_back(rule->workspace_bytes(spec));
  }
  Plan plan = make_plan({&program, compiled.profiles(), training, 0});
  check_plan(plan);
  return plan;
}

class PlanText {
 public:
  PlanText(const Program& program, const Plan& plan) : program_(program), plan_(plan) {}

  std::string tasks() const {
    std::string text;
    for (size_t t = 0; t < plan_.tasks.size(); ++t) {
      const Task& task = plan_.tasks[t];
      // Updates are alike: the first and the last tell the story.
      const bool inner = task.kind == TaskKind::update && task.parameter > 0 &&
                         task.parameter + 1 < static_cast<int>(program_.parameters.size());
      if (inner) {
        if (task.parameter == 1) text += "    ...\n";
        continue;
      }
      text += fmt::format("{:>3} {:<13} {:<12} reads  {}\n", t, name_of(task.kind), name_of(task),
                          list(task.reads));
      text += fmt::format("{:>30} writes {}\n", "", list(task.writes));
    }
    return text;
  }

  // A gradient, and what had its bytes before the gradient was first written.
  std::string reuse(const std::string& name) const {
    std::string text;
    const int chosen = find(name);
    for (int pass = 0; pass < 2; ++pass)
      for (size_t i = 0; i < plan_.buffers.size(); ++i) {
        const bool itself = static_cast<int>(i) == chosen;
        if (itself != (pass == 0) || !overlaps(static_cast<int>(i), chosen)) continue;
        const Buffer& b = plan_.buffers[i];
        const auto [first, last] = life(static_cast<int>(i));
        if (first < 0) continue;
        text += fmt::format("bytes {:>6} to {:>6}  tasks {:>2} to {:>2}  {}\n", b.extent.offset,
                            b.extent.offset + b.extent.bytes, first, last, b.name);
      }
    return text;
  }

 private:
  std::string name_of(const Task& task) const {
    if (task.call >= 0) return program_.calls[static_cast<size_t>(task.call)].name;
    return task.kind == TaskKind::update ? fmt::format("parameter {}", task.parameter) : "";
  }
  static std::string name_of(TaskKind kind) { return outsize::name_of(kind); }

  // Names of batch and boundary values; the rest by count, as there are many.
  std::string list(std::span<const int> ids) const {
    std::string names;
    std::map<std::string, int> counts;
    for (int id : ids) {
      const Buffer& b = plan_.buffers[static_cast<size_t>(id)];
      if (b.name.find(".saved") != std::string::npos) {
        ++counts["saved"];
      } else if (b.kind == BufferKind::batch || b.kind == BufferKind::activations) {
        names += names.empty() ? b.name : ", " + b.name;
      } else {
        ++counts[outsize::name_of(b.kind)];
      }
    }
    for (const auto& [kind, count] : counts)
      names += fmt::format("{}{} {}", names.empty() ? "" : ", ", count, kind);
    return names;
  }

  int find(const std::string& name) const {
    for (size_t i = 0; i < plan_.buffers.size(); ++i)
      if (plan_.buffers[i].name == name) return static_cast<int>(i);
    return -1;
  }

  bool overlaps(int a, int b) const {
    const Extent& x = plan_.buffers[static_cast<size_t>(a)].extent;
    const Extent& y = plan_.buffers[static_cast<size_t>(b)].extent;
    return x.offset < y.offset + y.bytes && y.offset < x.offset + x.bytes;
  }

  // First and last task that name the buffer; -1 when none does.
  std::pair<int, int> life(int id) const {
    std::pair<int, int> life{-1, -1};
    for (size_t t = 0; t < plan_.tasks.size(); ++t)
      for (const auto* ids : {&plan_.tasks[t].reads, &plan_.tasks[t].writes})
        for (int other : *ids) {
          if (other != id) continue;
          if (life.first < 0) life.first = static_cast<int>(t);
          life.second = static_cast<int>(t);
        }
    return life;
  }

  const Program& program_;
  const Plan& plan_;
};

void expect_in_document(const std::string& text) {
  const std::string path = OUTSIZE_SOURCE_DIR "/docs/ARCHITECTURE.md";
  std::ifstream file(path);
  std::stringstream document;
  document << file.rdbuf();
  EXPECT_NE(document.str().find("```text\n" + text + "```\n"), std::string::npos)
      << path << " does not hold this block; paste it there:\n"
      << text;
}

TEST(PlanText, TaskListOfTheDocumentIsReal) {
  const Program program = tiny_program();
  const Plan plan = plan_of(program, KernelChoice::best);
  expect_in_document(PlanText(program, plan).tasks());
}

TEST(PlanText, ReuseOfTheDocumentIsReal) {
  const Program program = tiny_program();
  // Workspace of the reference kernels is the same on every machine, and so are the places.
  const Plan plan = plan_of(program, KernelChoice::reference);
  expect_in_document(PlanText(program, plan).reuse("d_model.layers.0.mlp.up_proj.weight"));
}

}  // namespace
}  // namespace outsize
