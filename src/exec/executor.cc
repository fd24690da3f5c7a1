#include "exec/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "optim/clip.h"
#include "plan/check.h"

namespace outsize {

Executor::Executor(CompiledProgram& compiled, Plan plan, std::shared_ptr<HostArena> arena,
                   UpdateSetup setup, std::shared_ptr<DiskTiers> disks)
    : program_(compiled.program()),
      plan_(std::move(plan)),
      setup_(std::move(setup)),
      arena_(std::move(arena)),
      disks_(std::move(disks)) {
  check_plan(plan_);
  ensure(plan_.arena_bytes <= arena_->bytes(), "[executor] the arena is smaller than the plan");
  ensure(disks_ || (plan_.store_bytes == 0 && plan_.scratch_bytes == 0),
         "[executor] the plan needs disks");
  if (disks_) disks_->prepare(plan_);
  bind_tasks(compiled);
  times_.resize(plan_.tasks.size());
  lanes_ = std::make_unique<Lanes>(plan_, [this](int t, std::uint64_t run) { run_task(t, run); });
}

void* Executor::buffer(int id) const {
  ensure(id >= 0, "[executor] no such buffer");
  const Extent& extent = plan_.buffers[static_cast<size_t>(id)].extent;
  ensure(extent.tier == Tier::host, "[executor] buffer {} is not in RAM", id);
  return arena_->data() + extent.offset;
}

void* Executor::value(int microbatch, std::string_view name) const {
  const int v = program_.find_value(name);
  ensure(v >= 0, "[executor] the program has no value '{}'", name);
  return buffer(plan_.values.at(static_cast<size_t>(microbatch))[static_cast<size_t>(v)]);
}

void* Executor::weight(int parameter) const {
  return buffer(plan_.weights.at(static_cast<size_t>(parameter)));
}

double Executor::gradient_norm() const {
  return *static_cast<const double*>(buffer(plan_.gradient_norm));
}

void Executor::bind_tasks(CompiledProgram& compiled) {
  for (const Task& task : plan_.tasks) {
    BoundTask bound;
    if (task.kind == TaskKind::forward) bind_forward(compiled, task, bound);
    if (task.kind == TaskKind::backward) bind_backward(compiled, task, bound);
    if (task.kind == TaskKind::update) bind_update(task, bound);
    bound_.push_back(std::move(bound));
  }
}

void Executor::bind_forward(const CompiledProgram& compiled, const Task& task, BoundTask& bound) {
  const int segment = program_.calls[static_cast<size_t>(task.call)].segment;
  const Graph& graph = program_.segments[static_cast<size_t>(segment)].graph;
  const CallBinding& binding =
      plan_.bindings[static_cast<size_t>(task.microbatch)][static_cast<size_t>(task.call)];
  std::vector<void*> addresses(graph.values().size(), nullptr);
  auto place = [&](ValueId id, int buffer_id) {
    addresses[static_cast<size_t>(id)] = buffer(buffer_id);
  };
  for (size_t i = 0; i < binding.inputs.size(); ++i) place(graph.inputs()[i], binding.inputs[i]);
  for (size_t i = 0; i < binding.parameters.size(); ++i)
    place(graph.parameters()[i], binding.parameters[i]);
  for (size_t i = 0; i < binding.saved.size(); ++i)
    place(compiled.saved_results(segment, binding.recompute)[i], binding.saved[i]);
  // After saved values: an output that is saved too must be where the next call reads it.
  for (size_t i = 0; i < binding.outputs.size(); ++i)
    place(graph.outputs()[i].value, binding.outputs[i]);
  bind_graph(compiled.forward(segment, binding.recompute), std::move(addresses),
             binding.forward_scratch, bound);
  const auto& outputs = program_.calls[static_cast<size_t>(task.call)].outputs;
  bound.only_results = std::all_of(outputs.begin(), outputs.end(), [&](int value) {
    return program_.values[static_cast<size_t>(value)].role == ProgramValue::Role::result;
  });
}

void Executor::bind_backward(CompiledProgram& compiled, const Task& task, BoundTask& bound) {
  const int segment = program_.calls[static_cast<size_t>(task.call)].segment;
  const Graph& forward = program_.segments[static_cast<size_t>(segment)].graph;
  const CallBinding& binding =
      plan_.bindings[static_cast<size_t>(task.microbatch)][static_cast<size_t>(task.call)];
  const Backward& backward = compiled.backward_of(segment, binding.recompute);
  std::vector<void*> addresses(backward.graph.values().size(), nullptr);
  auto place = [&](ValueId id, int buffer_id) {
    addresses[static_cast<size_t>(id)] = buffer(buffer_id);
  };
  size_t next_saved = 0;
  for (const auto& saved : backward.saved) {
    if (forward.value(saved.forward).kind == Value::Kind::result) {
      place(saved.backward, binding.saved_again[next_saved++]);
      continue;
    }
    for (size_t i = 0; i < binding.inputs_again.size(); ++i)
      if (forward.inputs()[i] == saved.forward) place(saved.backward, binding.inputs_again[i]);
  }
  for (ValueId id : backward.graph.parameters())
    for (size_t i = 0; i < binding.parameters_again.size(); ++i)
      if (forward.value(forward.parameters()[i]).name == backward.graph.value(id).name)
        place(id, binding.parameters_again[i]);
  for (size_t i = 0; i < backward.output_cotangents.size(); ++i)
    place(backward.output_cotangents[i].value, binding.output_cotangents[i]);
  for (size_t i = 0; i < backward.input_cotangents.size(); ++i)
    place(backward.input_cotangents[i].value, binding.input_cotangents[i]);
  for (size_t i = 0; i < backward.parameter_gradients.size(); ++i)
    place(backward.parameter_gradients[i].value, binding.parameter_gradients[i]);
  for (size_t i = 0; i < backward.outputs_again.size(); ++i)
    place(backward.outputs_again[i].value, binding.outputs_again[i]);
  bind_graph(compiled.backward(segment, binding.recompute, task.accumulate), std::move(addresses),
             binding.backward_scratch, bound);
}

void Executor::bind_graph(const CompiledGraph& graph, std::vector<void*> addresses, int scratch,
                          BoundTask& bound) {
  char* base = scratch >= 0 ? static_cast<char*>(buffer(scratch)) : nullptr;
  ensure(scratch < 0 ||
             graph.scratch_bytes <= plan_.buffers[static_cast<size_t>(scratch)].extent.bytes,
         "[executor] a task's scratch is larger than planned");
  for (size_t v = 0; v < addresses.size(); ++v)
    if (graph.offsets[v] != CompiledGraph::kExternal) addresses[v] = base + graph.offsets[v];
  for (const CompiledGraph::Step& step : graph.steps) {
    Launch launch{step.kernel, step.call, {}, {}, base ? base + graph.workspace_offset : nullptr};
    for (ValueId id : step.inputs) launch.inputs.push_back(addresses[static_cast<size_t>(id)]);
    for (ValueId id : step.outputs) launch.outputs.push_back(addresses[static_cast<size_t>(id)]);
    for (const void* address : launch.inputs)
      ensure(address != nullptr, "[executor] an input of '{}' has no place", step.call->op->name);
    for (const void* address : launch.outputs)
      ensure(address != nullptr, "[executor] an output of '{}' has no place", step.call->op->name);
    bound.launches.push_back(std::move(launch));
  }
}

void Executor::run_launches(const Task& task, BoundTask& bound) {
  using Clock = std::chrono::steady_clock;
  auto start = Clock::now();
  for (Launch& launch : bound.launches) {
    const Status status = launch.kernel->launch({launch.inputs, launch.outputs, launch.workspace});
    if (!status.ok())
      fail(ErrorKind::Internal, "[executor] {}: op '{}' failed: {}", task_name(program_, task),
           launch.call->op->name, status.message());
    const auto end = Clock::now();
    launch.seconds = std::chrono::duration<double>(end - start).count();
    start = end;
  }
}

std::vector<Executor::OpTime> Executor::op_times() const {
  std::vector<OpTime> times;
  for (const BoundTask& bound : bound_)
    for (const Launch& launch : bound.launches)
      times.push_back({launch.call.get(), launch.seconds});
  return times;
}

void Executor::bind_update(const Task& task, BoundTask& bound) {
  const UpdateBinding& binding = plan_.updates[static_cast<size_t>(task.update)];
  const auto address = [&](const BufferPiece& piece) -> void* {
    return piece.buffer < 0 ? nullptr : static_cast<char*>(buffer(piece.buffer)) + piece.offset;
  };
  bound.spec = setup_.parameters[static_cast<size_t>(task.parameter)];
  if (binding.count != bound.spec.shape.numel()) bound.spec.shape = Shape{binding.count};
  bound.update.weight = address(binding.weight);
  bound.update.gradient = static_cast<const float*>(address(binding.gradient));
  bound.update.workspace = address(binding.scratch);
  for (const BufferPiece& state : binding.state) bound.state.push_back(address(state));
}

void Executor::run_squares(const Task& task) {
  const auto& own = program_.calls[static_cast<size_t>(task.call)].parameters;
  auto* sums = static_cast<double*>(buffer(plan_.gradient_squares));
  for (int p : own) {
    const int id = plan_.gradients[static_cast<size_t>(p)];
    if (std::find(task.reads.begin(), task.reads.end(), id) == task.reads.end()) continue;
    const ProgramParameter& parameter = program_.parameters[static_cast<size_t>(p)];
    sums[p] = sum_of_squares(static_cast<const float*>(buffer(id)), parameter.type.shape.numel());
    if (!std::isfinite(sums[p]))
      fail(ErrorKind::InvalidArgument,
           "[train] step {}: the gradient of '{}' is not finite; nothing of this step is saved; "
           "try a lower train.optimizer.lr, train.clip, or dtype f32",
           args_.step, parameter.name);
  }
}

void Executor::run_norm() {
  const auto* sums = static_cast<const double*>(buffer(plan_.gradient_squares));
  double total = 0;
  for (size_t p = 0; p < program_.parameters.size(); ++p) total += sums[p];
  *static_cast<double*>(buffer(plan_.gradient_norm)) = std::sqrt(total);
  const Status status =
      clip_scale(gradient_norm(), args_.clip > 0 ? args_.clip : HUGE_VAL, &scale_);
  ensure(status.ok(), "[executor] gradients are finite and their norm is {}", gradient_norm());
}

void Executor::run_update(const Task& task, const BoundTask& bound) const {
  const PendingUpdates how = earlier_.value_or(pending());
  UpdateArgs update = bound.update;
  update.state = bound.state;
  update.step = how.args.step;
  update.lr = how.args.lr;
  update.gradient_scale = how.gradient_scale;
  const Status status = setup_.rule->update(bound.spec, update);
  if (!status.ok())
    fail(ErrorKind::Internal, "[executor] {} failed: {}", task_name(program_, task),
         status.message());
}

void Executor::run_task(int t, std::uint64_t run) {
  const auto now = [&, start = starts_[run % 2]] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const auto index = static_cast<size_t>(t);
  const Task& task = plan_.tasks[index];
  if (before_task) before_task(task);
  times_[index].start_seconds = now();
  switch (task.kind) {
    case TaskKind::forward:
      if (bound_[index].only_results && !args_.results) break;
      run_launches(task, bound_[index]);
      break;
    case TaskKind::backward:
      run_launches(task, bound_[index]);
      break;
    case TaskKind::gradient_squares:
      run_squares(task);
      break;
    case TaskKind::gradient_norm:
      run_norm();
      break;
    case TaskKind::update:
      run_update(task, bound_[index]);
      break;
    case TaskKind::read:
    case TaskKind::write:
    case TaskKind::publish:
      disks_->run(plan_, task, arena_->data());
      break;
    case TaskKind::seal:
      seal();
      break;
    case TaskKind::commit:
      commit(run);
      break;
  }
  times_[index].end_seconds = now();
  if (after_task) after_task(task);
}

void Executor::run(const StepArgs& args) {
  earlier_.reset();
  start(args);
}

void Executor::run(const StepArgs& args, const PendingUpdates& pending) {
  earlier_ = pending;
  start(args);
}

void Executor::start(const StepArgs& args) {
  args_ = args;
  scale_ = 1;
  starts_[(runs() + 1) % 2] = std::chrono::steady_clock::now();
  lanes_->run();
}

}  // namespace outsize
