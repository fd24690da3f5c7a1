#include "train/measure_run.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "train/model_source.h"
#include "train/random_run.h"
#include "train/run_setup.h"

namespace outsize {
namespace {

constexpr int kSteps = 3;  // measured, after one more
// Of the layers' weights: so many do not wait in a cache for the next step.
constexpr std::int64_t kWeightBytes = 256 << 20;

// A model without its last layers.
class FirstLayers final : public Model {
 public:
  FirstLayers(const Model& whole, size_t layers) : whole_(whole), layers_(layers) {}

  ModelInfo info() const override {
    ModelInfo info = whole_.info();
    info.layers = static_cast<std::int64_t>(layers_);
    return info;
  }
  DecoderParts parts() const override {
    DecoderParts parts = whole_.parts();
    parts.layer_kinds.resize(layers_);
    return parts;
  }
  std::vector<WeightSource> weights() const override { return whole_.weights(); }
  nlohmann::json hf_config() const override { return whole_.hf_config(); }
  GgufMetadata gguf_metadata() const override { return whole_.gguf_metadata(); }
  double initializer_range() const override { return whole_.initializer_range(); }

 private:
  const Model& whole_;
  size_t layers_;
};

// So many that every kind of layer is there, and so many bytes of their weights, or all.
size_t layers_to_run(const Model& model, DType dtype, std::int64_t weight_bytes) {
  const DecoderParts parts = model.parts();
  const std::vector<int>& kinds = parts.layer_kinds;
  const Program program =
      model.program({.mode = BuildOptions::Mode::training, .tokens = 1, .row_length = 1});
  std::int64_t bytes = 0;
  for (const ProgramParameter& parameter : program.parameters)
    if (parameter.name.starts_with(parts.layer_prefix))
      bytes += parameter.type.shape.numel() * size_of(dtype);
  const std::int64_t of_one = bytes / static_cast<std::int64_t>(kinds.size()) + 1;
  const size_t all_kinds = std::set<int>(kinds.begin(), kinds.end()).size();
  std::set<int> seen;
  size_t layers = 0;
  while (layers < kinds.size() &&
         (seen.size() < all_kinds || static_cast<std::int64_t>(layers) * of_one < weight_bytes))
    seen.insert(kinds[layers++]);
  return layers;
}

void check_same_machine(const Machine& machine) {
  if (machine.cpu.cores == thread_count() && machine.cpu.isa == name_of(active_isa())) return;
  fail(ErrorKind::InvalidArgument,
       "[profile] the machine file was measured otherwise; got {} threads, {}; expected {}, {}; "
       "try `outsize profile` without --run first",
       machine.cpu.cores, machine.cpu.isa, thread_count(), name_of(active_isa()));
}

// In place of what the machine knew of the call.
void set_call(Machine& machine, const std::string& call, double seconds) {
  const auto same = std::find_if(machine.calls.begin(), machine.calls.end(),
                                 [&](const CallTime& time) { return time.call == call; });
  if (same == machine.calls.end())
    machine.calls.push_back({call, seconds});
  else
    same->seconds = seconds;
}

// Two microbatches where the run has several: gradients are begun in one and added to in the other.
RandomRunOptions options_of(const TrainingShape& shape) {
  RandomRunOptions options;
  options.dtype = name_of(shape.dtype);
  options.optimizer = "sgd";  // the least state: updates are not what is measured
  options.microbatch = shape.rows;
  options.batch = shape.rows * std::min(shape.accumulation, 2);
  options.length = shape.sequence_length;
  options.memory = arena_budget({});
  options.folder = {};
  return options;
}

std::vector<OpCostRow> measure_ops(const Model& model, const RandomRunOptions& options,
                                   Machine& machine) {
  const size_t layers = layers_to_run(model, parse_dtype(options.dtype), kWeightBytes);
  RandomRun run(options, std::make_unique<FirstLayers>(model, layers));
  OpCostTable table;
  for (int step = 0; step <= kSteps; ++step) {
    run.step();
    if (step > 0) table.add(run.engine().executor());
  }
  const CostModel before(machine);
  std::vector<OpCostRow> rows =
      table.rows([&](const OpCall& call) { return before.seconds(call); });
  for (const OpCostRow& row : rows) set_call(machine, row.call, row.seconds);
  return rows;
}

// What hangs on targets, with fewer of them.
void measure_few_targets(const Model& model, const RandomRunOptions& options, Machine& machine) {
  RandomRun run(options, std::make_unique<FirstLayers>(
                             model, layers_to_run(model, parse_dtype(options.dtype), 0)));
  run.step();
  std::set<std::string> done;
  std::int64_t every = 1;
  for (int price = 0; price < kTargetPrices; ++price, every *= 2) {
    run.set_target_every(every);
    run.step();
    std::map<std::string, double> least;  // of the step's launches
    for (const Executor::OpTime& time : run.engine().executor().op_times()) {
      const auto with_targets = time.call->op->with_targets;
      if (with_targets == nullptr) continue;
      const std::string call =
          to_string(with_targets(*time.call, 1.0 / static_cast<double>(every)));
      const auto [at, fresh] = least.try_emplace(call, time.seconds);
      if (!fresh) at->second = std::min(at->second, time.seconds);
    }
    // The first share is measured better already; the last ones may be the same call.
    for (const auto& [call, seconds] : least)
      if (done.insert(call).second && price > 0) set_call(machine, call, seconds);
  }
}

}  // namespace

std::vector<OpCostRow> measure_run(const RunConfig& config, Machine& machine) {
  check_same_machine(machine);
  const ModelSource source(config.model);
  const RandomRunOptions options = options_of(training_shape(config));
  std::vector<OpCostRow> rows = measure_ops(source.model(), options, machine);
  measure_few_targets(source.model(), options, machine);
  return rows;
}

}  // namespace outsize
