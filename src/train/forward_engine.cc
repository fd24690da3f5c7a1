#include "train/forward_engine.h"

#include <algorithm>
#include <map>

#include "core/clock.h"
#include "core/error.h"
#include "costs/cost_model.h"
#include "storage/real_disk.h"
#include "train/foretell.h"
#include "train/load_weights.h"
#include "train/show_plan.h"

namespace outsize {
namespace {

[[noreturn]] void fail_budget(std::int64_t smallest, std::int64_t budget) {
  constexpr std::int64_t kMib = 1 << 20;
  fail(ErrorKind::OutOfMemory,
       "[plan] the model does not fit its memory budget, not even with all weights on disk; got a "
       "peak of {} beside {} for the process; expected at most {}; try --memory {}MiB",
       show_bytes(smallest), show_bytes(kProcessBytes), show_bytes(budget),
       (smallest + kProcessBytes + kMib - 1) / kMib);
}

}  // namespace

ForwardPlans ForwardEngine::plan(const ForwardOptions& options, bool may_stream) {
  CompileOptions how;
  std::optional<CostModel> costs;
  if (options.machine != nullptr) {
    costs.emplace(*options.machine);
    how.price = [&costs](const OpCall& call) { return costs->seconds(call); };
  }
  std::vector<PlanRequest> requests;
  for (const Program& program : programs_) {
    compiled_.push_back(std::make_unique<CompiledProgram>(program, how));
    requests.push_back({.program = &program, .segments = compiled_.back()->profiles()});
  }
  return plan_forward(std::move(requests), options.budget_bytes, may_stream);
}

ForwardEngine::ForwardEngine(std::vector<Program> programs, const ForwardOptions& options,
                             std::vector<Program> small)
    : programs_(std::move(programs)) {
  const bool may_stream = !options.folder.empty();
  ForwardPlans found = plan(options, may_stream && small.empty());
  if (found.plans.empty() && may_stream && !small.empty()) {
    compiled_.clear();  // they borrow the programs
    programs_ = std::move(small);
    found = plan(options, true);
  }
  if (found.plans.empty()) fail_budget(found.arena_bytes, options.budget_bytes);
  if (const std::int64_t scratch = found.plans.front().scratch_bytes; scratch > 0) {
    if (options.disk == nullptr) own_disk_ = make_real_disk();
    tiers_ = std::make_shared<DiskTiers>(options.disk ? *options.disk : *own_disk_, options.folder,
                                         scratch, nullptr);
  }
  arena_bytes_ = found.arena_bytes;
  arena_ = std::make_shared<HostArena>(arena_bytes_);
  for (size_t i = 0; i < programs_.size(); ++i) {
    if (options.machine != nullptr)
      seconds_.push_back(simulate(found.plans[i], simulated(*options.machine)).seconds);
    executors_.push_back(std::make_unique<Executor>(*compiled_[i], std::move(found.plans[i]),
                                                    arena_, UpdateSetup{}, tiers_));
  }
  find_places();
}

// The way to the disk is the schedule's own way from it, taken back.
void ForwardEngine::find_places() {
  const Plan& plan = executor().plan();
  places_ = plan.weights;
  moves_.resize(places_.size());
  std::map<int, std::vector<Move>> into;  // by buffer in RAM
  for (const Task& task : plan.tasks)
    for (const Move& move : task.moves)
      into[move.to].push_back({move.to, move.from, move.to_offset, move.from_offset, move.bytes});
  for (size_t c = 0; c < programs_.front().calls.size(); ++c) {
    const auto& parameters = programs_.front().calls[c].parameters;
    for (size_t i = 0; i < parameters.size(); ++i) {
      const auto p = static_cast<size_t>(parameters[i]);
      if (places_[p] >= 0) continue;
      places_[p] = plan.bindings.front()[c].parameters[i];
      moves_[p] = into.at(places_[p]);
    }
  }
}

void ForwardEngine::load(const Model& model, const WeightReader& reader) {
  WeightSink sink = sink_to_memory(programs_.front(), [this](int p) {
    return MasterMemory{executor().buffer(places_[static_cast<size_t>(p)])};
  });
  sink.finish = [this](int p) { send(p); };
  load_weights(programs_.front(), model, reader, sink);
}

void ForwardEngine::send(int parameter) {
  const auto& moves = moves_[static_cast<size_t>(parameter)];
  if (moves.empty()) return;
  Task task{.kind = TaskKind::write, .resource = Resource::disk_write, .moves = moves};
  tiers_->run(executor().plan(), task, arena_->data());
}

std::int64_t ForwardEngine::weight_bytes() const {
  std::int64_t bytes = 0;
  for (const ProgramParameter& parameter : programs_.front().parameters)
    bytes += parameter.type.bytes();
  return bytes;
}

std::int64_t ForwardEngine::read_bytes() const {
  double bytes = 0;
  for (const Task& task : executor().plan().tasks)
    if (task.kind == TaskKind::read) bytes += task.bytes;
  return static_cast<std::int64_t>(bytes);
}

double ForwardEngine::measure_reads() const {
  const double start = seconds_now();
  for (const Task& task : executor().plan().tasks)
    if (task.kind == TaskKind::read) tiers_->run(executor().plan(), task, arena_->data());
  return seconds_now() - start;
}

std::optional<double> ForwardEngine::seconds(size_t program) const {
  if (seconds_.empty()) return std::nullopt;
  return seconds_[program];
}

}  // namespace outsize
