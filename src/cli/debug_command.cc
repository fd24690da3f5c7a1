// `outsize debug step`: optimizer steps on one batch written out in JSON, with gradients and
// weights as files; for comparing with other implementations tensor by tensor.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/error.h"
#include "formats/json.h"
#include "formats/safetensors_writer.h"
#include "optim/master.h"
#include "train/engine.h"
#include "train/model_source.h"

namespace outsize {
namespace {

struct DebugOptions {
  std::string model, batch, dtype = "f32", gradients, weights;
  int steps = 1;
  double lr = 1e-3, weight_decay = 0, clip = 0, eps = 1e-8;
  std::vector<double> betas = {0.9, 0.999};
  std::string optimizer = "adamw";
  bool json = false;
};

struct RawBatch {
  std::int64_t rows, length;
  Batch batch;
};

RawBatch read_batch(const std::string& path) {
  const nlohmann::json json = read_json(path);
  const JsonFields fields(json, path);
  RawBatch raw{fields.integer("rows", 1), fields.integer("sequence_length", 1), {}};
  auto take = [&](const char* name) {
    const auto values = fields.integers(name);
    if (static_cast<std::int64_t>(values.size()) != raw.rows * raw.length)
      fields.fail_field(name, "must have rows x sequence_length entries");
    return std::vector<std::int32_t>(values.begin(), values.end());
  };
  raw.batch.tokens = take("tokens");
  raw.batch.positions = take("positions");
  raw.batch.document_start = take("document_start");
  raw.batch.targets = take("targets");
  raw.batch.target_tokens = std::count_if(raw.batch.targets.begin(), raw.batch.targets.end(),
                                          [](std::int32_t target) { return target >= 0; });
  return raw;
}

void write_gradients(TrainingEngine& engine, const std::string& path) {
  const Program& program = engine.program();
  std::vector<TensorSpec> specs;
  for (const ProgramParameter& parameter : program.parameters)
    specs.push_back({parameter.name, DType::f32, parameter.type.shape});
  SafetensorsWriter writer(path, specs);
  for (size_t p = 0; p < program.parameters.size(); ++p)
    writer.append(engine.executor().buffer(engine.plan().gradients[p]),
                  static_cast<size_t>(program.parameters[p].type.shape.numel()) * 4);
  writer.finish();
}

void write_masters(TrainingEngine& engine, const std::string& path) {
  std::vector<TensorSpec> specs;
  for (const ProgramParameter& parameter : engine.program().parameters)
    specs.push_back({parameter.name, DType::f32, parameter.type.shape});
  SafetensorsWriter writer(path, specs);
  const auto state = engine.state();
  for (size_t i = 0; i < state.size(); ++i) {
    if (state[i].name.find(':') != std::string::npos) continue;
    std::vector<float> master(static_cast<size_t>(state[i].shape.numel()));
    if (state[i].dtype == DType::f32) {
      std::copy_n(static_cast<const float*>(state[i].data), master.size(), master.data());
    } else {  // the low half is the parameter's first optimizer buffer
      load_master(static_cast<const bf16*>(state[i].data),
                  static_cast<const std::int16_t*>(state[i + 1].data),
                  static_cast<std::int64_t>(master.size()), master.data());
    }
    writer.append(master.data(), master.size() * 4);
  }
  writer.finish();
}

void debug_step(const DebugOptions& options) {
  const ModelSource source(options.model);
  const RawBatch raw = read_batch(options.batch);
  OptimizerOptions optimizer{.name = options.optimizer, .weight_decay = options.weight_decay};
  optimizer.beta1 = options.betas.at(0);
  optimizer.beta2 = options.betas.at(1);
  optimizer.eps = options.eps;
  TrainingEngine engine(source.model(),
                        {raw.rows, raw.length, 1, parse_dtype(options.dtype), false}, optimizer, 0);
  engine.allocate();
  engine.load(*source.weights());
  std::vector<double> losses, norms;
  for (int step = 1; step <= options.steps; ++step) {
    engine.executor().after_task = [&](const Task& task) {
      if (step == 1 && task.kind == TaskKind::gradient_norm && !options.gradients.empty())
        write_gradients(engine, options.gradients);
    };
    losses.push_back(engine.step({&raw.batch, 1}, raw.batch.target_tokens,
                                 {.step = step, .lr = options.lr, .clip = options.clip}));
    norms.push_back(engine.gradient_norm());
  }
  if (!options.weights.empty()) write_masters(engine, options.weights);
  fmt::print("{}\n", nlohmann::json{{"losses", losses}, {"grad_norms", norms}}.dump());
}

}  // namespace

void add_debug_command(CLI::App& app) {
  CLI::App* debug = app.add_subcommand("debug", "Tools for developers");
  debug->require_subcommand(1);
  CLI::App* step = debug->add_subcommand("step", "Optimizer steps on one batch given in JSON");
  auto options = std::make_shared<DebugOptions>();
  step->add_option("model", options->model, "MODEL")->required();
  step->add_option("--batch", options->batch,
                   "JSON: rows, sequence_length, tokens, positions, document_start, targets")
      ->required();
  step->add_option("--dtype", options->dtype, "f32 or bf16");
  step->add_option("--steps", options->steps, "Updates on the same batch")
      ->check(CLI::PositiveNumber);
  step->add_option("--optimizer", options->optimizer, "adamw, sgd or adafactor");
  step->add_option("--lr", options->lr, "Learning rate, constant");
  step->add_option("--weight-decay", options->weight_decay, "Decay of matrices");
  step->add_option("--clip", options->clip, "Global gradient norm; 0: off");
  step->add_option("--betas", options->betas, "Two numbers")->expected(2)->delimiter(',');
  step->add_option("--eps", options->eps, "AdamW's epsilon");
  step->add_option("--gradients", options->gradients, "Write the first step's gradients here");
  step->add_option("--weights", options->weights, "Write the f32 masters after the last step here");
  step->add_flag("--json", options->json, "The output is JSON in any case");
  step->callback([options] { debug_step(*options); });
}

}  // namespace outsize
