#include "plan/planner.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "plan/place.h"

namespace outsize {
namespace {

class Planner {
 public:
  explicit Planner(const PlanRequest& request)
      : request_(request),
        program_(*request.program),
        updates_(request.training && !request.training->forward_only),
        microbatches_(updates_ ? request.training->accumulation : 1) {}

  Plan run() {
    add_parameters();
    for (int m = 0; m < microbatches_; ++m) add_values();
    for (int m = 0; m < microbatches_; ++m) {
      for (int c = 0; c < call_count(); ++c)
        if (!updates_ || !profile(c).skip_forward) add_forward(m, c);
      if (!updates_) continue;
      cotangents_.assign(program_.values.size(), -1);
      for (int c = call_count(); c-- > 0;) add_backward(m, c);
    }
    if (updates_) add_updates();
    place_buffers(plan_);
    check_budget();
    return std::move(plan_);
  }

 private:
  int call_count() const { return static_cast<int>(program_.calls.size()); }
  const Call& call(int c) const { return program_.calls[static_cast<size_t>(c)]; }
  const SegmentProfile& profile(int c) const {
    return request_.segments[static_cast<size_t>(call(c).segment)];
  }
  CallBinding& binding(int m, int c) {
    return plan_.bindings[static_cast<size_t>(m)][static_cast<size_t>(c)];
  }

  int add_buffer(std::string name, BufferKind kind, std::int64_t bytes, bool persistent) {
    plan_.buffers.push_back({std::move(name), kind, {Tier::host, 0, bytes}, persistent});
    return static_cast<int>(plan_.buffers.size()) - 1;
  }

  int add_scratch(const std::string& name, std::int64_t bytes) {
    return bytes == 0 ? -1 : add_buffer(name, BufferKind::workspace, bytes, false);
  }

  void add_parameters() {
    for (size_t p = 0; p < program_.parameters.size(); ++p) {
      const ProgramParameter& parameter = program_.parameters[p];
      plan_.weights.push_back(
          add_buffer(parameter.name, BufferKind::weights, parameter.type.bytes(), true));
      if (!request_.training) continue;
      plan_.optimizer.emplace_back();
      for (const StateBytes& state : request_.training->optimizer[p])
        plan_.optimizer.back().push_back(add_buffer(parameter.name + ":" + state.name,
                                                    BufferKind::optimizer, state.bytes, true));
    }
    if (!updates_) return;
    for (const ProgramParameter& parameter : program_.parameters)
      plan_.gradients.push_back(add_buffer("d_" + parameter.name, BufferKind::gradients,
                                           parameter.type.shape.numel() * 4, false));
    plan_.loss_scale = add_buffer("loss_scale", BufferKind::batch, 8, true);
    plan_.gradient_norm = add_buffer("gradient_norm", BufferKind::batch, 8, true);
    gradient_written_.assign(program_.parameters.size(), false);
  }

  // Buffers of batch, result and state values; boundaries get theirs where they are produced.
  void add_values() {
    using Role = ProgramValue::Role;
    std::vector<int> ids;
    for (const ProgramValue& value : program_.values) {
      const std::int64_t bytes = value.type.bytes();
      if (value.role == Role::boundary)
        ids.push_back(add_buffer(value.name, BufferKind::activations, bytes, false));
      else if (value.role == Role::state)
        ids.push_back(add_buffer(value.name, BufferKind::state, bytes, true));
      else
        ids.push_back(add_buffer(value.name, BufferKind::batch, bytes, true));
    }
    plan_.values.push_back(ids);
    plan_.bindings.emplace_back(program_.calls.size());
  }

  std::vector<int> value_buffers(int m, const std::vector<int>& values) const {
    std::vector<int> ids;
    for (int v : values)
      ids.push_back(plan_.values[static_cast<size_t>(m)][static_cast<size_t>(v)]);
    return ids;
  }

  std::vector<int> weight_buffers(int c) const {
    std::vector<int> ids;
    for (int p : call(c).parameters) ids.push_back(plan_.weights[static_cast<size_t>(p)]);
    return ids;
  }

  void bind_call(int m, int c) {
    CallBinding& bound = binding(m, c);
    bound.inputs = value_buffers(m, call(c).inputs);
    bound.outputs = value_buffers(m, call(c).outputs);
    bound.parameters = weight_buffers(c);
  }

  static void append(std::vector<int>& list, const std::vector<int>& more) {
    for (int id : more)
      if (id >= 0) list.push_back(id);
  }

  void add_forward(int m, int c) {
    bind_call(m, c);
    CallBinding& bound = binding(m, c);
    const std::string label = fmt::format("{}.{}", call(c).name, m);
    if (updates_)
      for (size_t s = 0; s < profile(c).saved.size(); ++s)
        bound.saved.push_back(add_buffer(fmt::format("{}.saved{}", label, s),
                                         BufferKind::activations, profile(c).saved[s].bytes(),
                                         false));
    bound.forward_scratch = add_scratch(label + ".scratch", profile(c).forward_scratch_bytes);
    Task task{.kind = TaskKind::forward, .call = c, .microbatch = m};
    append(task.reads, bound.inputs);
    append(task.reads, bound.parameters);
    for (size_t i = 0; i < bound.outputs.size(); ++i)
      if (value(call(c).outputs[i]).role == ProgramValue::Role::state)
        task.reads.push_back(bound.outputs[i]);
    append(task.writes, bound.outputs);
    append(task.writes, bound.saved);
    append(task.writes, {bound.forward_scratch});
    add_work(task, profile(c).forward_cost, profile(c).forward_seconds);
    plan_.tasks.push_back(std::move(task));
  }

  const ProgramValue& value(int v) const { return program_.values[static_cast<size_t>(v)]; }

  int cotangent_of(int m, int v) {
    int& id = cotangents_[static_cast<size_t>(v)];
    if (id < 0)
      id = add_buffer(fmt::format("d_{}.{}", value(v).name, m), BufferKind::activations,
                      value(v).type.bytes(), false);
    return id;
  }

  void add_backward(int m, int c) {
    const SegmentProfile& segment = profile(c);
    if (segment.parameter_gradients.empty() && segment.input_cotangents.empty()) return;
    if (segment.skip_forward) bind_call(m, c);
    CallBinding& bound = binding(m, c);
    Task task{.kind = TaskKind::backward, .call = c, .microbatch = m};
    for (int i : segment.saved_inputs) task.reads.push_back(bound.inputs[static_cast<size_t>(i)]);
    append(task.reads, bound.saved);
    append(task.reads, bound.parameters);
    for (int o : segment.output_cotangents) {
      const int v = call(c).outputs[static_cast<size_t>(o)];
      const bool is_loss = value(v).role == ProgramValue::Role::result;
      bound.output_cotangents.push_back(is_loss ? plan_.loss_scale : cotangent_of(m, v));
    }
    append(task.reads, bound.output_cotangents);
    for (int i : segment.input_cotangents)
      bound.input_cotangents.push_back(cotangent_of(m, call(c).inputs[static_cast<size_t>(i)]));
    append(task.writes, bound.input_cotangents);
    for (int i : segment.outputs_again)
      bound.outputs_again.push_back(bound.outputs[static_cast<size_t>(i)]);
    append(task.writes, bound.outputs_again);
    add_gradients(task, bound, c);
    bound.backward_scratch =
        add_scratch(fmt::format("{}.{}.backward", call(c).name, m), segment.backward_scratch_bytes);
    append(task.writes, {bound.backward_scratch});
    const bool adds =
        std::find(task.accumulate.begin(), task.accumulate.end(), 1) != task.accumulate.end();
    add_work(task, segment.backward_cost,
             adds ? segment.adding_backward_seconds : segment.backward_seconds);
    plan_.tasks.push_back(std::move(task));
  }

  void add_gradients(Task& task, CallBinding& bound, int c) {
    for (int i : profile(c).parameter_gradients) {
      const auto p = static_cast<size_t>(call(c).parameters[static_cast<size_t>(i)]);
      const int id = plan_.gradients[p];
      bound.parameter_gradients.push_back(id);
      task.accumulate.push_back(gradient_written_[p]);
      const bool listed =
          std::find(task.writes.begin(), task.writes.end(), id) != task.writes.end();
      if (gradient_written_[p] && !listed) task.reads.push_back(id);
      if (!listed) task.writes.push_back(id);
      gradient_written_[p] = true;
    }
  }

  void add_updates() {
    Task norm{.kind = TaskKind::gradient_norm};
    double gradient_bytes = 0;
    for (size_t p = 0; p < plan_.gradients.size(); ++p) {
      ensure(gradient_written_[p], "[planner] parameter '{}' gets no gradient",
             program_.parameters[p].name);
      norm.reads.push_back(plan_.gradients[p]);
      gradient_bytes +=
          static_cast<double>(plan_.buffers[static_cast<size_t>(plan_.gradients[p])].extent.bytes);
    }
    norm.writes = {plan_.gradient_norm};
    norm.bytes = gradient_bytes;
    norm.seconds = request_.training->norm_seconds;
    plan_.tasks.push_back(norm);
    for (size_t p = 0; p < plan_.gradients.size(); ++p) {
      Task task{.kind = TaskKind::update, .parameter = static_cast<int>(p)};
      if (!request_.training->update_seconds.empty())
        task.seconds = request_.training->update_seconds[p];
      const int scratch = add_scratch(program_.parameters[p].name + ".update",
                                      request_.training->update_scratch_bytes[p]);
      plan_.update_scratch.push_back(scratch);
      task.reads = {plan_.gradients[p], plan_.weights[p], plan_.gradient_norm};
      append(task.reads, plan_.optimizer[p]);
      task.writes = {plan_.weights[p]};
      append(task.writes, plan_.optimizer[p]);
      append(task.writes, {scratch});
      for (int id : task.reads)
        task.bytes += static_cast<double>(plan_.buffers[static_cast<size_t>(id)].extent.bytes);
      plan_.tasks.push_back(std::move(task));
    }
  }

  static void add_work(Task& task, const Cost& cost, const SegmentProfile::Seconds& seconds) {
    task.seconds = seconds.all;
    task.target_seconds = seconds.targets;
    task.flops = cost.flops;
    task.bytes = cost.bytes_read + cost.bytes_written;
  }

  void check_budget() const {
    if (request_.budget_bytes <= 0 || plan_.arena_bytes <= request_.budget_bytes) return;
    const auto& by_kind = plan_.peak_bytes_by_kind;
    const auto top = std::max_element(by_kind.begin(), by_kind.end()) - by_kind.begin();
    const auto kind = static_cast<BufferKind>(top);
    const double gib = 1.0 / (1 << 30);
    fail(ErrorKind::OutOfMemory,
         "[plan] the run does not fit its memory budget; got a peak of {:.2f} GiB ({} {:.2f} GiB); "
         "expected at most {:.2f} GiB; try {}",
         static_cast<double>(plan_.arena_bytes) * gib, name_of(kind),
         static_cast<double>(by_kind[static_cast<size_t>(top)]) * gib,
         static_cast<double>(request_.budget_bytes) * gib, advice(kind));
  }

  // What lowers the largest kind most.
  static const char* advice(BufferKind kind) {
    switch (kind) {
      case BufferKind::optimizer:
        return "train.optimizer.name adafactor or sgd, moment_dtype bf16, or a larger "
               "budget.memory";
      case BufferKind::activations:
        return "a smaller train.microbatch or data.sequence_length, or a larger budget.memory";
      default:
        return "train.dtype bf16, a smaller model, or a larger budget.memory";
    }
  }

  const PlanRequest& request_;
  const Program& program_;
  bool updates_;
  int microbatches_;
  Plan plan_;
  std::vector<int> cotangents_;  // of the current microbatch, per program value
  std::vector<char> gradient_written_;
};

}  // namespace

Plan make_plan(const PlanRequest& request) {
  return Planner(request).run();
}

}  // namespace outsize
