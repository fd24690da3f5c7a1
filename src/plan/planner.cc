#include "plan/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "plan/depend.h"
#include "plan/label.h"
#include "plan/parameter_plan.h"
#include "plan/place.h"
#include "plan/task_list.h"

namespace outsize {
namespace {

class Planner {
 public:
  explicit Planner(const PlanRequest& request)
      : request_(request),
        program_(*request.program),
        updates_(request.training && !request.training->forward_only),
        updates_first_(updates_ && request.part == StepPart::middle),
        updates_at_once_(updates_ && request.knobs.updates == UpdateTime::with_backward),
        microbatches_(updates_ ? request.training->accumulation : 1),
        label_(request.detail == PlanDetail::whole),
        tasks_(request.detail == PlanDetail::whole),
        parameters_(request, plan_, tasks_) {
    ensure(!updates_at_once_ || (!request.training->clips && !request.knobs.ring),
           "[planner] updates have to wait, for the norm or for the log");
    const size_t calls = program_.calls.size();
    ensure(request.knobs.recompute.empty() || request.knobs.recompute.size() == calls,
           "[planner] recompute has another length than the program");
    for (const std::vector<char>* list :
         {&request.knobs.offload_saved, &request.knobs.stream_weights, &request.knobs.stream_state,
          &request.knobs.offload_gradients})
      ensure(list->empty() || list->size() == calls,
             "[planner] a list of the knobs has another length than the program");
    if (updates_ && !request.knobs.offload_saved.empty()) find_offload_readers();
  }

  Plan run() {
    parameters_.add_persistent();
    if (updates_ && may_carry()) {
      plan_.carries = true;
      tasks_.lead({.kind = TaskKind::commit});
    }
    if (updates_) add_scalars();
    for (int m = 0; m < microbatches_; ++m) add_values();
    if (only_updates())
      update_all();
    else if (request_.knobs.vertical)
      order_by_call();
    else
      order_by_microbatch();
    if (updates_ && !only_updates()) parameters_.add_norm();
    if (updates_ && request_.part == StepPart::whole && !updates_at_once_) update_all();
    const std::vector<int> hold =
        tasks_.emit(plan_, {request_.knobs.read_ahead_bytes, request_.knobs.write_behind_bytes,
                            request_.knobs.fill_bytes});
    if (request_.detail == PlanDetail::places)
      plan_.carries = false;  // it takes the same room, wherever its last writes lie
    place_buffers(plan_, hold);
    if (request_.detail != PlanDetail::places) add_dependencies(plan_);
    check_budget();
    return std::move(plan_);
  }

 private:
  bool only_updates() const {
    return request_.part == StepPart::end || request_.part == StepPart::redo;
  }
  // Where every step leaves its state in the store, and nothing else for the next one. Updates
  // after the norm could: little came of it, and it takes a third of the planning.
  bool may_carry() const {
    const PlanKnobs& knobs = request_.knobs;
    return knobs.durable && !knobs.ring && knobs.updates == UpdateTime::with_backward &&
           request_.part == StepPart::whole;
  }
  int call_count() const { return static_cast<int>(program_.calls.size()); }
  const Call& call(int c) const { return program_.calls[static_cast<size_t>(c)]; }
  const ProgramValue& value(int v) const { return program_.values[static_cast<size_t>(v)]; }
  Recompute recompute(int c) const {
    const auto& list = request_.knobs.recompute;
    return request_.recomputing.empty() || list.empty() ? Recompute::nothing
                                                        : list[static_cast<size_t>(c)];
  }
  const SegmentProfile& profile(int c) const {
    const auto level = static_cast<size_t>(recompute(c));
    const auto& profiles = level == 0 ? request_.segments : request_.recomputing[level - 1];
    return profiles[static_cast<size_t>(call(c).segment)];
  }
  bool has_backward(int c) const {
    return !profile(c).parameter_gradients.empty() || !profile(c).input_cotangents.empty();
  }
  CallBinding& binding(int m, int c) {
    return plan_.bindings[static_cast<size_t>(m)][static_cast<size_t>(c)];
  }

  int add_buffer(std::string name, BufferKind kind, std::int64_t bytes, bool persistent,
                 bool moved = false) {
    plan_.buffers.push_back({std::move(name), kind, {Tier::host, 0, bytes}, persistent, moved});
    return static_cast<int>(plan_.buffers.size()) - 1;
  }

  int add_scratch(std::string name, std::int64_t bytes) {
    return bytes == 0 ? -1 : add_buffer(std::move(name), BufferKind::workspace, bytes, false);
  }

  void add_scalars() {
    const auto sums = static_cast<std::int64_t>(8 * program_.parameters.size());
    plan_.loss_scale = add_buffer("loss_scale", BufferKind::batch, 8, true);
    plan_.gradient_norm = add_buffer("gradient_norm", BufferKind::batch, 8, true);
    plan_.gradient_squares = add_buffer("gradient_squares", BufferKind::batch, sums, true);
  }

  // Buffers of batch, result and state values, and of boundaries, which get a place where they are
  // produced; updates alone have none.
  void add_values() {
    using Role = ProgramValue::Role;
    std::vector<int> ids;
    ids.reserve(program_.values.size());
    for (size_t v = 0; v < program_.values.size(); ++v) {
      const ProgramValue& value = program_.values[v];
      const std::int64_t bytes = value.type.bytes();
      if (value.role == Role::boundary && only_updates())
        ids.push_back(-1);
      else if (value.role == Role::boundary)
        ids.push_back(add_buffer(label_("{}", value.name), BufferKind::activations, bytes, false,
                                 offload_reader(static_cast<int>(v)) >= 0));
      else if (value.role == Role::state)
        ids.push_back(add_buffer(label_("{}", value.name), BufferKind::state, bytes, true));
      else
        ids.push_back(add_buffer(label_("{}", value.name), BufferKind::batch, bytes, true));
    }
    plan_.values.push_back(std::move(ids));
    plan_.bindings.emplace_back(program_.calls.size());
    cotangents_.emplace_back(program_.values.size(), -1);
    forward_at_.emplace_back(program_.calls.size(), -1);
    offloaded_.emplace_back(program_.calls.size());
  }

  // Per boundary value: the call that offloads it for its backward, if that is its only reader.
  void find_offload_readers() {
    constexpr int kSeveral = -2;
    offload_readers_.assign(program_.values.size(), -1);
    for (int c = 0; c < call_count(); ++c)
      for (int input : call(c).inputs) {
        int& reader = offload_readers_[static_cast<size_t>(input)];
        reader = reader == -1 ? c : kSeveral;
      }
    for (size_t v = 0; v < offload_readers_.size(); ++v) {
      int& reader = offload_readers_[v];
      if (program_.values[v].role != ProgramValue::Role::boundary || reader < 0 ||
          !PlanKnobs::at(request_.knobs.offload_saved, reader) || profile(reader).skip_forward)
        reader = -1;
    }
  }

  int offload_reader(int v) const {
    return offload_readers_.empty() ? -1 : offload_readers_[static_cast<size_t>(v)];
  }

  // ---- order

  void update_all() {
    for (int c = request_.first_call; c < call_count(); ++c) {
      parameters_.begin_span();
      parameters_.update(c);
    }
  }

  // After the last backward of a call.
  void finish(int c) {
    parameters_.finish_gradients(c);
    if (updates_at_once_) parameters_.update(c);
  }

  void order_by_call() {
    for (int c = 0; c < call_count(); ++c) {
      parameters_.begin_span();
      if (updates_first_) parameters_.update(c);
      for (int m = 0; m < microbatches_; ++m) forward(m, c);
    }
    if (updates_first_) parameters_.commit();
    if (!updates_) return;
    for (int c = call_count(); c-- > 0;) {
      parameters_.begin_span();
      for (int m = 0; m < microbatches_; ++m) backward(m, c);
      finish(c);
    }
  }

  // Calls that share parameters with later ones wait, so that their contributions come after all
  // of the later calls'.
  void order_by_microbatch() {
    std::vector<int> last_user(program_.parameters.size(), -1);
    for (int c = 0; c < call_count(); ++c)
      for (int p : call(c).parameters) last_user[static_cast<size_t>(p)] = c;
    const auto waits = [&](int c) {
      return std::any_of(call(c).parameters.begin(), call(c).parameters.end(),
                         [&](int p) { return last_user[static_cast<size_t>(p)] > c; });
    };
    for (int m = 0; m < microbatches_; ++m) {
      for (int c = 0; c < call_count(); ++c) {
        parameters_.begin_span();
        if (updates_first_ && m == 0) parameters_.update(c);
        forward(m, c);
      }
      if (updates_first_ && m == 0) parameters_.commit();
      if (!updates_) continue;
      for (int c = call_count(); c-- > 0;) {
        if (waits(c)) continue;
        parameters_.begin_span();
        backward(m, c);
        if (m == microbatches_ - 1) finish(c);
      }
    }
    if (!updates_) return;
    for (int c = call_count(); c-- > 0;) {
      if (!waits(c)) continue;
      parameters_.begin_span();
      for (int m = 0; m < microbatches_; ++m) backward(m, c);
      finish(c);
    }
  }

  // ---- forward

  std::vector<int> value_buffers(int m, const std::vector<int>& values) const {
    std::vector<int> ids;
    ids.reserve(values.size());
    for (int v : values)
      ids.push_back(plan_.values[static_cast<size_t>(m)][static_cast<size_t>(v)]);
    return ids;
  }

  template <class List>
  static void append(List& list, const std::vector<int>& more) {
    for (int id : more) append(list, id);
  }
  template <class List>
  static void append(List& list, int id) {
    if (id >= 0) list.push_back(id);
  }

  void bind_values(int m, int c) {
    CallBinding& bound = binding(m, c);
    bound.recompute = recompute(c);
    bound.inputs = bound.inputs_again = value_buffers(m, call(c).inputs);
    bound.outputs = value_buffers(m, call(c).outputs);
  }

  void add_saved(CallBinding& bound, int m, int c) {
    const std::vector<ValueType>& saved = profile(c).saved;
    bound.saved.reserve(saved.size());
    for (size_t s = 0; s < saved.size(); ++s)
      bound.saved.push_back(add_buffer(label_("{}.{}.saved{}", call(c).name, m, s),
                                       BufferKind::activations, saved[s].bytes(), false,
                                       PlanKnobs::at(request_.knobs.offload_saved, c)));
  }

  void forward(int m, int c) {
    bind_values(m, c);
    if (updates_ && profile(c).skip_forward) return;
    CallBinding& bound = binding(m, c);
    bound.parameters = parameters_.weights(c);
    if (updates_) add_saved(bound, m, c);
    bound.saved_again = bound.saved;
    bound.forward_scratch =
        add_scratch(label_("{}.{}.scratch", call(c).name, m), profile(c).forward_scratch_bytes);
    Task task{.kind = TaskKind::forward, .call = c, .microbatch = m};
    append(task.reads, bound.inputs);
    append(task.reads, bound.parameters);
    for (size_t i = 0; i < bound.outputs.size(); ++i)
      if (value(call(c).outputs[i]).role == ProgramValue::Role::state)
        task.reads.push_back(bound.outputs[i]);
    append(task.writes, bound.outputs);
    append(task.writes, bound.saved);
    append(task.writes, bound.forward_scratch);
    add_work(task, profile(c).forward_cost, profile(c).forward_seconds);
    forward_at_[static_cast<size_t>(m)][static_cast<size_t>(c)] = tasks_.add(std::move(task));
    if (updates_ && has_backward(c)) offload(m, c);
  }

  // What backward reads of this call leaves RAM and will be read back into buffers of its own.
  void offload(int m, int c) {
    if (!PlanKnobs::at(request_.knobs.offload_saved, c)) return;
    CallBinding& bound = binding(m, c);
    std::vector<Move>& back = offloaded_[static_cast<size_t>(m)][static_cast<size_t>(c)];
    moves_.clear();
    const auto leave = [&](int& id) {
      const Buffer source = plan_.buffers[static_cast<size_t>(id)];
      const std::int64_t bytes = whole_pages(source.extent.bytes);
      const int stored = add_buffer(source.name, source.kind, source.extent.bytes, false, true);
      plan_.buffers.back().extent.tier = Tier::scratch;
      moves_.push_back({id, stored, 0, 0, bytes});
      id = add_buffer(source.name, source.kind, source.extent.bytes, false, true);
      back.push_back({stored, id, 0, 0, bytes});
    };
    for (int& id : bound.saved_again) leave(id);
    for (int i : profile(c).saved_inputs)
      if (offload_reader(call(c).inputs[static_cast<size_t>(i)]) == c)
        leave(bound.inputs_again[static_cast<size_t>(i)]);
    tasks_.write_after(moves_);
  }

  // ---- backward

  int cotangent_of(int m, int v) {
    int& id = cotangents_[static_cast<size_t>(m)][static_cast<size_t>(v)];
    if (id < 0)
      id = add_buffer(label_("d_{}.{}", value(v).name, m), BufferKind::activations,
                      value(v).type.bytes(), false);
    return id;
  }

  void backward(int m, int c) {
    if (!has_backward(c)) return;
    const SegmentProfile& segment = profile(c);
    CallBinding& bound = binding(m, c);
    bound.parameters_again.assign(call(c).parameters.size(), -1);
    for (int i : segment.saved_parameters) {
      const auto index = static_cast<size_t>(i);
      bound.parameters_again[index] = parameters_.weight(call(c).parameters[index]);
    }
    tasks_.read_first(forward_at_[static_cast<size_t>(m)][static_cast<size_t>(c)],
                      offloaded_[static_cast<size_t>(m)][static_cast<size_t>(c)]);
    Task task{.kind = TaskKind::backward, .call = c, .microbatch = m};
    for (int i : segment.saved_inputs)
      task.reads.push_back(bound.inputs_again[static_cast<size_t>(i)]);
    append(task.reads, bound.saved_again);
    append(task.reads, bound.parameters_again);
    bind_cotangents(task, m, c);
    bind_gradients(task, bound, c);
    bound.backward_scratch =
        add_scratch(label_("{}.{}.backward", call(c).name, m), segment.backward_scratch_bytes);
    append(task.writes, bound.backward_scratch);
    const bool adds =
        std::find(task.accumulate.begin(), task.accumulate.end(), 1) != task.accumulate.end();
    add_work(task, segment.backward_cost,
             adds ? segment.adding_backward_seconds : segment.backward_seconds);
    tasks_.add(std::move(task));
  }

  void bind_cotangents(Task& task, int m, int c) {
    const SegmentProfile& segment = profile(c);
    CallBinding& bound = binding(m, c);
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
  }

  void bind_gradients(Task& task, CallBinding& bound, int c) {
    for (int i : profile(c).parameter_gradients) {
      bool adds = false;
      const int id = parameters_.gradient(call(c).parameters[static_cast<size_t>(i)], adds);
      bound.parameter_gradients.push_back(id);
      task.accumulate.push_back(adds);
      const bool listed =
          std::find(task.writes.begin(), task.writes.end(), id) != task.writes.end();
      if (adds && !listed) task.reads.push_back(id);
      if (!listed) task.writes.push_back(id);
    }
  }

  static void add_work(Task& task, const Cost& cost, const SegmentProfile::Seconds& seconds) {
    task.seconds = seconds.all;
    task.target_seconds = seconds.targets;
    task.flops = cost.flops;
    task.bytes = cost.bytes_read + cost.bytes_written;
  }

  // ---- budget

  void check_budget() const {
    if (request_.budget_bytes <= 0 || plan_.arena_bytes <= request_.budget_bytes) return;
    const auto& by_kind = plan_.peak_bytes_by_kind;
    const auto top = std::max_element(by_kind.begin(), by_kind.end()) - by_kind.begin();
    const auto kind = static_cast<BufferKind>(top);
    const double gib = 1.0 / (1 << 30);
    throw OverBudget(
        plan_.arena_bytes,
        fmt::format("[plan] the run does not fit its memory budget; got a peak of {:.2f} GiB ({} "
                    "{:.2f} GiB); expected at most {:.2f} GiB; try {}",
                    static_cast<double>(plan_.arena_bytes) * gib, name_of(kind),
                    static_cast<double>(by_kind[static_cast<size_t>(top)]) * gib,
                    static_cast<double>(request_.budget_bytes) * gib, advice(kind)));
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
  bool updates_, updates_first_, updates_at_once_;
  int microbatches_;
  Plan plan_;
  Label label_;
  TaskList tasks_;
  ParameterPlan parameters_;
  std::vector<int> offload_readers_;          // per program value; -1 none
  std::vector<std::vector<int>> cotangents_;  // per microbatch and program value
  std::vector<std::vector<int>> forward_at_;  // per microbatch and call: position, -1 none
  // Per microbatch and call: how what left RAM comes back.
  std::vector<std::vector<std::vector<Move>>> offloaded_;
  std::vector<Move> moves_;  // of the task at hand
};

}  // namespace

// A call that waits for the others holds up whoever reads its input's cotangent: nobody may.
bool can_be_horizontal(const PlanRequest& request) {
  if (!request.training || request.training->accumulation == 1) return true;
  const Program& program = *request.program;
  std::vector<int> last_user(program.parameters.size(), -1);
  for (size_t c = program.calls.size(); c-- > 0;) {
    const Call& call = program.calls[c];
    bool shares = false;
    for (int p : call.parameters) {
      int& last = last_user[static_cast<size_t>(p)];
      if (last < 0) last = static_cast<int>(c);
      shares = shares || last > static_cast<int>(c);
    }
    if (shares && !request.segments[static_cast<size_t>(call.segment)].input_cotangents.empty())
      return false;
  }
  return true;
}

Plan make_plan(const PlanRequest& request) {
  if (request.knobs.vertical || can_be_horizontal(request)) return Planner(request).run();
  PlanRequest vertical = request;
  vertical.knobs.vertical = true;
  return Planner(vertical).run();
}

}  // namespace outsize
