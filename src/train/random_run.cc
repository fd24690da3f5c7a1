#include "train/random_run.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "core/error.h"
#include "core/rng.h"
#include "machine/machine_file.h"
#include "models/model.h"
#include "train/run_setup.h"

namespace outsize {

RandomRun::RandomRun(const RandomRunOptions& options)
    : RandomRun(options, open_model(options.config)) {}

RandomRun::RandomRun(const RandomRunOptions& options, std::unique_ptr<Model> model)
    : options_(options), dtype_(parse_dtype(options.dtype)), model_(std::move(model)) {
  const std::int64_t rows = options.microbatch > 0
                                ? options.microbatch
                                : default_microbatch(options.length, options.batch);
  if (rows < 1 || options.batch % rows != 0)
    fail(ErrorKind::InvalidArgument,
         "[bench] microbatch does not divide batch; got {}; expected a divisor of {}", rows,
         options.batch);
  accumulation_ = static_cast<int>(options.batch / rows);
  std::optional<Machine> machine;
  if (!options.machine.empty()) machine = read_machine(options.machine);
  PlanningOptions planning{.machine = machine ? &*machine : nullptr, .clips = options.clip > 0};
  if (options.memory > 0) {
    planning.budget_bytes = arena_budget(options.memory);
    planning.may_use_disk = !options.folder.empty();
    if (planning.may_use_disk) planning.disk_bytes = free_disk_bytes(options.folder);
    if (options.store == "ring") planning.store = StoreScheme::ring;
    if (options.store == "two_slots") planning.store = StoreScheme::two_slots;
  }
  engine_ = std::make_unique<TrainingEngine>(
      *model_, TrainingShape{rows, options.length, accumulation_, dtype_, false},
      OptimizerOptions{.name = options.optimizer}, planning);
  if (machine) forecast_.emplace(engine_->plan(), *machine);
  if (engine_->durable()) make_folder();
  engine_->allocate(own_folder_);
  engine_->randomise(1);
  if (engine_->durable()) engine_->commit(0, "");
  make_batches();
}

void RandomRun::set_target_every(std::int64_t every) {
  options_.target_every = every;
  make_batches();
}

void RandomRun::make_batches() {
  batches_.clear();
  targets_ = 0;
  for (int m = 0; m < accumulation_; ++m)
    batches_.push_back(random_batch(options_.batch / accumulation_, static_cast<std::uint64_t>(m)));
  for (const Batch& batch : batches_) targets_ += batch.target_tokens;
}

RandomRun::~RandomRun() {
  engine_.reset();
  std::error_code ignored;
  if (!own_folder_.empty()) std::filesystem::remove_all(own_folder_, ignored);
}

void RandomRun::make_folder() {
  std::string name = options_.folder + "/outsize-bench-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr)
    fail(ErrorKind::Io, "[bench] {}: no folder can be made there; got '{}'", options_.folder,
         std::strerror(errno));
  own_folder_ = name;
}

Batch RandomRun::random_batch(std::int64_t rows, std::uint64_t stream) const {
  const Rng rng(1, stream);
  const auto vocabulary = static_cast<std::uint64_t>(model_->info().vocabulary);
  Batch batch;
  for (std::int64_t i = 0; i < rows * options_.length; ++i) {
    const std::int64_t row_start = i / options_.length * options_.length;
    const auto counter = static_cast<std::uint64_t>(i);
    constexpr std::uint64_t kTargets = 1ull << 40;  // apart from the tokens' draws
    batch.tokens.push_back(static_cast<std::int32_t>(rng.below(counter, vocabulary)));
    batch.positions.push_back(static_cast<std::int32_t>(i - row_start));
    batch.document_start.push_back(static_cast<std::int32_t>(row_start));
    const bool has_target = i % options_.target_every == 0;
    batch.targets.push_back(
        has_target ? static_cast<std::int32_t>(rng.below(counter + kTargets, vocabulary)) : -1);
    batch.target_tokens += has_target;
  }
  batch.real_tokens = rows * options_.length;
  return batch;
}

double RandomRun::step() {
  const bool carries = engine_->plan().carries;
  if (carries && steps_ > 0) engine_->commit_with_next(steps_, "");
  const double loss =
      engine_->step(batches_, targets_, {.step = ++steps_, .lr = 1e-4, .clip = options_.clip});
  const std::int64_t finished = engine_->updates_wait() ? steps_ - 1 : steps_;
  if (engine_->durable() && !carries && finished > 0) engine_->commit(finished, "");
  return loss;
}

}  // namespace outsize
