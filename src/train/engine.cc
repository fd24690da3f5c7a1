#include "train/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "machine/machine_file.h"
#include "train/foretell.h"

namespace outsize {
namespace {

BuildOptions build_options(BuildOptions::Mode mode, std::int64_t rows, std::int64_t length,
                           DType dtype) {
  return {.mode = mode, .tokens = rows * length, .row_length = length, .dtype = dtype};
}

void write_batch(const Executor& executor, const Program& program, int microbatch,
                 const Batch& batch) {
  auto copy = [&](const char* name, const std::vector<std::int32_t>& values) {
    if (program.find_value(name) < 0) return;  // GPT-2 has no rotary positions, say
    std::memcpy(executor.value(microbatch, name), values.data(), values.size() * 4);
  };
  copy("tokens", batch.tokens);
  copy("positions", batch.positions);
  copy("document_start", batch.document_start);
  copy("targets", batch.targets);
}

std::vector<Program> one_program(const Model& model, const BuildOptions& options) {
  check_context(model, options.row_length);
  std::vector<Program> programs;
  programs.push_back(model.program(options));
  return programs;
}

std::int64_t file_bytes(StoreLayout layout, StoreScheme scheme) {
  layout.scheme = scheme;
  return static_cast<std::int64_t>(Geometry(layout).file_bytes);
}

// What the store of a run takes with two slots, whatever its plan is.
std::int64_t two_slots_bytes(PlanRequest request) {
  request.knobs.durable = true;
  request.budget_bytes = 0;
  const auto block = static_cast<std::uint64_t>(request.knobs.store_block);
  return file_bytes(store_layout(make_plan(request), 0, block), StoreScheme::two_slots);
}

double read_loss(const Executor& executor, int microbatch) {
  return *static_cast<const double*>(executor.value(microbatch, "loss"));
}

}  // namespace

void check_context(const Model& model, std::int64_t tokens) {
  const ModelInfo info = model.info();
  if (tokens > info.context)
    fail(ErrorKind::InvalidArgument,
         "[model] the sequence is longer than the model was made for; got {} tokens; expected at "
         "most {}; "
         "try a smaller data.sequence_length",
         tokens, info.context);
}

TrainingEngine::TrainingEngine(const Model& model, const TrainingShape& shape,
                               const OptimizerOptions& optimizer, const PlanningOptions& options)
    : model_(model), shape_(shape), rule_(make_update_rule(optimizer)) {
  check_context(model, shape.sequence_length);
  plan_training(options);
}

double TrainingEngine::step_flops(std::int64_t target_tokens) const {
  const ModelInfo info = model_.info();
  const auto length = static_cast<double>(shape_.sequence_length);
  const double tokens = length * static_cast<double>(shape_.rows * shape_.accumulation);
  const double layers = static_cast<double>(info.layers), width = static_cast<double>(info.width);
  const double head = static_cast<double>(info.vocabulary) * width;
  double parameters = -head;
  for (const ProgramParameter& parameter : program_.parameters)
    parameters += static_cast<double>(parameter.type.shape.numel());
  return 6.0 * (tokens * (parameters + layers * width * length) +
                static_cast<double>(target_tokens) * head);
}

double TrainingEngine::model_flops() const {
  return step_flops(shape_.rows * shape_.accumulation * shape_.sequence_length);
}

void TrainingEngine::price_updates(const CostModel& costs, TrainingRequest& training) const {
  double gradient_bytes = 0;
  for (const ParameterSpec& spec : specs_) {
    training.update_seconds.push_back(costs.seconds(work_of_update(*rule_, spec)));
    gradient_bytes += 4.0 * static_cast<double>(spec.shape.numel());
  }
  training.norm_seconds = costs.seconds(work_of_norm(gradient_bytes));
}

TrainingRequest TrainingEngine::training_request(const CostModel& costs, bool clips) {
  TrainingRequest training{.accumulation = shape_.accumulation, .clips = clips};
  training.elementwise = rule_->elementwise();
  for (const ProgramParameter& parameter : program_.parameters) {
    specs_.push_back({parameter.type.shape, parameter.type.dtype, parameter.decay});
    training.optimizer.emplace_back();
    for (const StateBuffer& state : rule_->state(specs_.back()))
      training.optimizer.back().push_back({state.name, state.count * size_of(state.dtype)});
    training.update_scratch_bytes.push_back(rule_->workspace_bytes(specs_.back()));
  }
  price_updates(costs, training);
  return training;
}

void TrainingEngine::plan_training(const PlanningOptions& options) {
  program_ = model_.program(build_options(BuildOptions::Mode::training, shape_.rows,
                                          shape_.sequence_length, shape_.dtype));
  const Machine machine = options.machine != nullptr ? *options.machine : typical_machine();
  const CostModel costs(machine);
  const auto price = [&costs](const OpCall& call) { return costs.seconds(call); };
  compiled_ = std::make_unique<CompiledProgram>(
      program_, CompileOptions{.training = true, .recompute = true, .price = price});
  PlanRequest request{&program_,
                      compiled_->profiles(),
                      training_request(costs, options.clips),
                      options.budget_bytes,
                      compiled_->recomputing_profiles(),
                      options.knobs.value_or(PlanKnobs{})};
  if (options.knobs) {
    if (options.knobs->deferred()) request.part = StepPart::middle;
    plan_ = make_plan(request);
    knobs_ = request.knobs;
  } else {
    request = choose_store(request, options, simulated(machine));
  }
  if (options.machine == nullptr)  // good enough to choose by, not to tell anyone
    for (Task& task : plan_.tasks) {
      task.seconds = 0;
      task.target_seconds.clear();
    }
  arena_bytes_ = plan_.arena_bytes;
  if (knobs_.deferred()) plan_deferred(request);
  if (plan_.log_bytes > 0) {
    redo_ = request;
    plan_redo(0);
  }
  if (shape_.with_evaluation) plan_evaluation(std::move(request));
}

// The best plan in the layout that was asked for; otherwise with two slots where they find room,
// and with one spare slot where they do not. A search takes long: the layout that has to be is
// tried first.
PlanRequest TrainingEngine::choose_store(const PlanRequest& request, const PlanningOptions& options,
                                         const SimulatedMachine& machine) {
  std::vector<StoreScheme> schemes{StoreScheme::two_slots, StoreScheme::ring};
  if (options.store)
    schemes = {*options.store};
  else if (options.disk_bytes && two_slots_bytes(request) > *options.disk_bytes)
    std::swap(schemes.front(), schemes.back());
  std::string needed;
  for (const StoreScheme scheme : schemes) {
    const bool ring = scheme == StoreScheme::ring;
    SearchResult found =
        search_plan(request, {machine, options.may_use_disk, options.durable, ring});
    plan_ = std::move(found.plan);
    knobs_ = std::move(found.knobs);
    candidates_ = std::move(found.candidates);
    const std::int64_t bytes = durable() ? store_file_bytes() + plan_.scratch_bytes : 0;
    if (!durable() || bytes <= options.disk_bytes.value_or(bytes)) {
      PlanRequest chosen = request;
      chosen.knobs = knobs_;
      return chosen;
    }
    needed += fmt::format("{}{} with {}", needed.empty() ? "" : ", or ", bytes,
                          ring ? "one spare slot" : "two slots");
  }
  throw DiskTooSmall(
      fmt::format("[plan] the disk has no room for the state of the run; got {} bytes free; "
                  "expected {}; try budget.disk on another disk, or a larger budget.memory",
                  *options.disk_bytes, needed));
}

// The first step and the last updates, in the arena and with the places of the steps between.
void TrainingEngine::plan_deferred(PlanRequest request) {
  request.part = StepPart::begin;
  begin_plan_ = make_plan(request);
  request.part = StepPart::end;
  end_plan_ = make_plan(request);
  arena_bytes_ = std::max({arena_bytes_, begin_plan_.arena_bytes, end_plan_.arena_bytes});
}

// The updates of a step that was cut short, in the same arena.
void TrainingEngine::plan_redo(int first_call) {
  redo_->part = StepPart::redo;
  redo_->first_call = first_call;
  redo_plan_ = make_plan(*redo_);
  arena_bytes_ = std::max(arena_bytes_, redo_plan_.arena_bytes);
}

void TrainingEngine::plan_evaluation(PlanRequest request) {
  evaluation_program_ = model_.program(build_options(BuildOptions::Mode::evaluation, shape_.rows,
                                                     shape_.sequence_length, shape_.dtype));
  compiled_evaluation_ = std::make_unique<CompiledProgram>(evaluation_program_, CompileOptions{});
  request.program = &evaluation_program_;
  request.segments = compiled_evaluation_->profiles();
  request.recomputing.clear();
  request.training->forward_only = true;
  request.part = StepPart::whole;
  evaluation_plan_ = make_plan(request);
  arena_bytes_ = std::max(arena_bytes_, evaluation_plan_.arena_bytes);
}

std::int64_t TrainingEngine::scratch_bytes() const {
  return std::max({plan_.scratch_bytes, begin_plan_.scratch_bytes, end_plan_.scratch_bytes});
}

std::int64_t TrainingEngine::store_file_bytes(std::optional<StoreScheme> scheme) const {
  const StoreLayout layout = store_layout(plan_, 0, static_cast<std::uint64_t>(knobs_.store_block));
  return file_bytes(layout, scheme.value_or(layout.scheme));
}

std::int64_t TrainingEngine::state_bytes() const {
  std::int64_t bytes = 0;
  for (const ParameterSpec& spec : specs_) {
    bytes += spec.shape.numel() * size_of(spec.dtype);
    for (const StateBuffer& state : rule_->state(spec)) bytes += state.count * size_of(state.dtype);
  }
  return bytes;
}

void TrainingEngine::allocate(const std::string& folder, const StoreOptions& options, Disk* disk) {
  std::shared_ptr<DiskTiers> tiers;
  if (durable()) {
    durable_ = std::make_unique<DurableState>(folder, program_, plan_, scratch_bytes(),
                                              static_cast<std::uint64_t>(knobs_.store_block),
                                              options, disk);
    tiers = durable_->tiers();
    if (const auto half = durable_->half_step()) plan_redo(half->first_call);
  }
  arena_ = std::make_shared<HostArena>(arena_bytes_);
  executor_ = std::make_unique<Executor>(*compiled_, plan_, arena_,
                                         UpdateSetup{rule_.get(), specs_}, tiers);
  if (knobs_.deferred())
    for (const auto& [executor, plan] : {std::pair{&begin_, &begin_plan_}, {&end_, &end_plan_}})
      *executor = std::make_unique<Executor>(*compiled_, *plan, arena_,
                                             UpdateSetup{rule_.get(), specs_}, tiers);
  for (Executor* executor : {executor_.get(), begin_.get()})
    if (executor != nullptr) connect(*executor);
  if (!shape_.with_evaluation) return;
  evaluator_ = std::make_unique<Executor>(*compiled_evaluation_, evaluation_plan_, arena_,
                                          UpdateSetup{}, tiers);
  for (size_t p = 0; p < program_.parameters.size(); ++p)
    ensure(plan_.weights[p] < 0 ||
               executor_->weight(static_cast<int>(p)) == evaluator_->weight(static_cast<int>(p)),
           "[engine] validation would read other weights than training writes");
}

std::vector<Executor*> TrainingEngine::executors() const {
  std::vector<Executor*> list;
  for (const auto* executor : {&executor_, &begin_, &end_, &evaluator_})
    if (*executor) list.push_back(executor->get());
  return list;
}

void TrainingEngine::connect(Executor& executor) {
  executor.seal = [this, &executor] {
    durable_->seal(executor.pending(), record ? record(loss()) : std::string());
  };
  executor.commit = [this](std::uint64_t run) {
    if (plan_.carries)
      durable_->commit_handed_over(run);
    else
      durable_->commit_sealed();
  };
}

std::optional<std::int64_t> TrainingEngine::stored_step() const {
  if (!durable_ || durable_->fresh()) return std::nullopt;
  const auto half = durable_->half_step();
  return half ? half->step : durable_->step();
}

std::string TrainingEngine::stored_blob() const {
  const auto half = durable_->half_step();
  return half ? half->blob : durable_->blob();
}

void TrainingEngine::settle() {
  if (executor_) executor_->settle();
}

void TrainingEngine::restore() {
  settle();
  durable_->read_residents(arena_->data());
  if (const auto half = durable_->half_step())
    Executor(*compiled_, redo_plan_, arena_, UpdateSetup{rule_.get(), specs_}, durable_->tiers())
        .run({}, half->updates);
}

void TrainingEngine::commit(std::int64_t step, std::string_view blob) {
  settle();
  if (durable_->step() != step) durable_->commit(step, blob);
}

void TrainingEngine::commit_with_next(std::int64_t step, std::string_view blob) {
  if (!plan_.carries) {
    commit(step, blob);
    return;
  }
  durable_->hand_over(executor_->runs() + 1, step, blob);
}

void TrainingEngine::import(const std::string& checkpoint) {
  std::vector<std::vector<std::int64_t>> bytes;
  for (const ParameterSpec& spec : specs_) {
    bytes.push_back({spec.shape.numel() * size_of(spec.dtype)});
    for (const StateBuffer& state : rule_->state(spec))
      bytes.back().push_back(state.count * size_of(state.dtype));
  }
  durable_->import(checkpoint, bytes);
  restore();
}

void TrainingEngine::take_weights(const std::function<void(const WeightSink&)>& produce) {
  if (!durable_) {
    produce(sink_to_memory(program_, [this](int p) { return master(p); }));
    return;
  }
  durable_->fill(produce);
  restore();
}

MasterMemory TrainingEngine::master(int parameter) const {
  MasterMemory memory{executor_->weight(parameter), nullptr};
  const auto p = static_cast<size_t>(parameter);
  const auto buffers = rule_->state(specs_[p]);
  for (size_t i = 0; i < buffers.size(); ++i)
    if (std::strcmp(buffers[i].name, kMasterLow) == 0)
      memory.low = static_cast<std::int16_t*>(executor_->buffer(plan_.optimizer[p][i]));
  return memory;
}

void TrainingEngine::load(const WeightReader& reader) {
  take_weights([&](const WeightSink& sink) { load_weights(program_, model_, reader, sink); });
}

void TrainingEngine::randomise(std::uint64_t seed) {
  take_weights([&](const WeightSink& sink) { randomise_weights(program_, model_, seed, sink); });
}

double TrainingEngine::step(std::span<const Batch> batches, std::int64_t target_tokens,
                            const StepArgs& args) {
  ensure(static_cast<int>(batches.size()) == shape_.accumulation,
         "[engine] wrong count of microbatches");
  if (target_tokens <= 0)
    fail(ErrorKind::InvalidArgument, "[train] step {}: no position of the batch has a target",
         args.step);
  ensure(args.clip <= 0 || knobs_.updates != UpdateTime::with_backward,
         "[engine] a plan that was told of no clipping cannot clip");
  for (int m = 0; m < shape_.accumulation; ++m)
    write_batch(*executor_, program_, m, batches[static_cast<size_t>(m)]);
  *static_cast<double*>(executor_->buffer(plan_.loss_scale)) =
      1.0 / static_cast<double>(target_tokens);
  target_tokens_ = target_tokens;
  run_step(args);
  return loss();
}

double TrainingEngine::loss() const {
  double sum = 0;
  for (int m = 0; m < shape_.accumulation; ++m) sum += read_loss(*executor_, m);
  return sum / static_cast<double>(target_tokens_);
}

void TrainingEngine::run_step(const StepArgs& args) {
  if (!knobs_.deferred()) {
    executor_->run(args);
    return;
  }
  if (pending_)
    executor_->run(args, *pending_);
  else
    begin_->run(args);
  pending_ = (pending_ ? executor_ : begin_)->pending();
}

void TrainingEngine::finish_updates() {
  if (!pending_) return;
  end_->run({}, *pending_);
  pending_.reset();
}

void TrainingEngine::evaluate(const Batch& batch, EvaluationTotals& totals) {
  settle();
  write_batch(*evaluator_, evaluation_program_, 0, batch);
  evaluator_->run({});
  totals.loss_sum += read_loss(*evaluator_, 0);
  totals.target_tokens += batch.target_tokens;
}

std::vector<NamedMemory> TrainingEngine::state() const {
  std::vector<NamedMemory> list;
  for (size_t p = 0; p < program_.parameters.size(); ++p) {
    const ProgramParameter& parameter = program_.parameters[p];
    list.push_back({parameter.name, parameter.type.dtype, parameter.type.shape,
                    executor_->weight(static_cast<int>(p))});
    const auto buffers = rule_->state(specs_[p]);
    for (size_t i = 0; i < buffers.size(); ++i) {
      const Shape shape = buffers[i].count == parameter.type.shape.numel()
                              ? parameter.type.shape
                              : Shape{buffers[i].count};
      list.push_back({parameter.name + ":" + buffers[i].name, buffers[i].dtype, shape,
                      executor_->buffer(plan_.optimizer[p][i])});
    }
  }
  return list;
}

EvaluationEngine::EvaluationEngine(const Model& model, std::int64_t rows,
                                   std::int64_t sequence_length, DType dtype,
                                   const ForwardOptions& options)
    : model_(model),
      engine_(one_program(model, build_options(BuildOptions::Mode::evaluation, rows,
                                               sequence_length, dtype)),
              options) {}

void EvaluationEngine::evaluate(const Batch& batch, EvaluationTotals& totals) {
  Executor& executor = engine_.executor();
  write_batch(executor, executor.program(), 0, batch);
  executor.run({});
  totals.loss_sum += read_loss(executor, 0);
  totals.target_tokens += batch.target_tokens;
}

}  // namespace outsize
