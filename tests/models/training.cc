#include "models/training.h"

#include <cstring>

#include "optim/master.h"
#include "train/engine.h"

namespace outsize::testing_models {
namespace {

Tensors gradients(const Executor& executor) {
  Tensors tensors;
  const Program& program = executor.program();
  for (size_t p = 0; p < program.parameters.size(); ++p) {
    const auto* from = static_cast<const float*>(executor.buffer(executor.plan().gradients[p]));
    tensors[program.parameters[p].name].assign(from,
                                               from + program.parameters[p].type.shape.numel());
  }
  return tensors;
}

// A bf16 weight's low half is the first of its optimizer buffers (optim/update_rule.h).
Tensors masters(const Executor& executor) {
  Tensors tensors;
  const Program& program = executor.program();
  for (size_t p = 0; p < program.parameters.size(); ++p) {
    const ValueType& type = program.parameters[p].type;
    std::vector<float>& master = tensors[program.parameters[p].name];
    master.resize(static_cast<size_t>(type.shape.numel()));
    const void* weight = executor.weight(static_cast<int>(p));
    if (type.dtype == DType::f32)
      std::memcpy(master.data(), weight, master.size() * 4);
    else
      load_master(
          static_cast<const bf16*>(weight),
          static_cast<const std::int16_t*>(executor.buffer(executor.plan().optimizer[p].front())),
          type.shape.numel(), master.data());
  }
  return tensors;
}

// `step(args)` returns the loss of one update.
template <class Step>
Trained train(const Golden& golden, Executor& executor, Step&& step) {
  Trained trained;
  executor.after_task = [&](const Task& task) {
    if (task.kind == TaskKind::gradient_norm && trained.losses.empty())
      trained.first_gradients = gradients(executor);
  };
  for (int s = 1; s <= golden.steps; ++s) {
    trained.losses.push_back(step(StepArgs{.step = s, .lr = golden.lr, .clip = golden.clip}));
    trained.norms.push_back(executor.gradient_norm());
  }
  executor.after_task = nullptr;
  trained.last_weights = masters(executor);
  return trained;
}

Plan plan_for(const Program& program, const CompiledProgram& compiled, const UpdateRule& rule,
              Recompute recompute, std::vector<ParameterSpec>& specs) {
  TrainingRequest training;
  for (const ProgramParameter& parameter : program.parameters) {
    specs.push_back({parameter.type.shape, parameter.type.dtype, parameter.decay});
    training.optimizer.emplace_back();
    for (const StateBuffer& state : rule.state(specs.back()))
      training.optimizer.back().push_back({state.name, state.count * size_of(state.dtype)});
    training.update_scratch_bytes.push_back(rule.workspace_bytes(specs.back()));
  }
  PlanRequest request{&program, compiled.profiles(), training, 0, compiled.recomputing_profiles()};
  request.knobs.recompute.assign(program.calls.size(), recompute);
  return make_plan(request);
}

void write_batch(const Executor& executor, const Batch& batch) {
  auto copy = [&](const char* name, const std::vector<std::int32_t>& values) {
    if (executor.program().find_value(name) >= 0)
      std::memcpy(executor.value(0, name), values.data(), values.size() * 4);
  };
  copy("tokens", batch.tokens);
  copy("positions", batch.positions);
  copy("document_start", batch.document_start);
  copy("targets", batch.targets);
}

}  // namespace

Trained train_with_engine(const Golden& golden, DType dtype, bool by_rows) {
  const auto batches = by_rows ? golden.by_rows() : std::vector<Batch>{golden.batch};
  const auto count = static_cast<std::int64_t>(batches.size());
  TrainingEngine engine(*golden.model,
                        {golden.rows / count, golden.length, static_cast<int>(count), dtype, false},
                        golden.optimizer, 0);
  engine.allocate();
  engine.load(*golden.weights);
  return train(golden, engine.executor(), [&](const StepArgs& args) {
    return engine.step(batches, golden.batch.target_tokens, args);
  });
}

Trained train_with_options(const Golden& golden, DType dtype, const CompileOptions& options,
                           Recompute recompute) {
  const Program program = golden.model->program({.mode = BuildOptions::Mode::training,
                                                 .tokens = golden.rows * golden.length,
                                                 .row_length = golden.length,
                                                 .dtype = dtype});
  CompiledProgram compiled(program, options);
  const auto rule = make_update_rule(golden.optimizer);
  std::vector<ParameterSpec> specs;
  Plan plan = plan_for(program, compiled, *rule, recompute, specs);
  auto arena = std::make_shared<HostArena>(plan.arena_bytes);
  Executor executor(compiled, std::move(plan), arena, {rule.get(), specs});
  const auto master = [&](int p) {
    MasterMemory memory{executor.weight(p), nullptr};
    if (program.parameters[static_cast<size_t>(p)].type.dtype == DType::bf16)
      memory.low = static_cast<std::int16_t*>(
          executor.buffer(executor.plan().optimizer[static_cast<size_t>(p)].front()));
    return memory;
  };
  load_weights(program, *golden.model, *golden.weights, sink_to_memory(program, master));
  const auto targets = static_cast<double>(golden.batch.target_tokens);
  return train(golden, executor, [&](const StepArgs& args) {
    write_batch(executor, golden.batch);
    *static_cast<double*>(executor.buffer(executor.plan().loss_scale)) = 1.0 / targets;
    executor.run(args);
    return *static_cast<const double*>(executor.value(0, "loss")) / targets;
  });
}

}  // namespace outsize::testing_models
