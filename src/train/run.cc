#include "train/run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/clock.h"
#include "core/error.h"
#include "core/file.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "data/batch_source.h"
#include "data/dataset.h"
#include "data/packer.h"
#include "machine/gemm_rate.h"
#include "report/metrics_writer.h"
#include "report/process_memory.h"
#include "report/progress.h"
#include "report/run_folder.h"
#include "report/run_summary.h"
#include "train/background_save.h"
#include "train/disk_use.h"
#include "train/foretell.h"
#include "train/kill_at.h"
#include "train/model_source.h"
#include "train/room_pause.h"
#include "train/run_planning.h"
#include "train/run_setup.h"
#include "train/show_plan.h"
#include "train/step_record.h"
#include "train/store_folder.h"

namespace outsize {
namespace {

volatile std::sig_atomic_t received_signal = 0;

// Remembers SIGINT and SIGTERM while it lives; a second one ends the process at once.
class SignalWatch {
 public:
  SignalWatch() {
    received_signal = 0;
    struct sigaction action = {};
    action.sa_handler = [](int signal) { received_signal = signal; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, &old_interrupt_);
    sigaction(SIGTERM, &action, &old_terminate_);
  }
  ~SignalWatch() {
    sigaction(SIGINT, &old_interrupt_, nullptr);
    sigaction(SIGTERM, &old_terminate_, nullptr);
  }
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

 private:
  struct sigaction old_interrupt_, old_terminate_;
};

std::int64_t total_steps(const RunConfig& config, const Dataset& dataset) {
  if (config.train.steps) return *config.train.steps;
  const double rows = static_cast<double>(count_rows(dataset, config.data.shuffle, 0));
  const double steps = *config.train.epochs * rows / static_cast<double>(config.train.global_batch);
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(steps)));
}

class TrainingRun {
 public:
  TrainingRun(const RunConfig& config, const std::string& trace_path)
      : config_(config),
        trace_path_(trace_path),
        folder_(config.run),
        source_(config.model),
        schedule_(schedule_options(config.train.schedule)) {}
  ~TrainingRun() { ending_ = true; }  // what still waits for room must not keep its lane
  TrainingRun(const TrainingRun&) = delete;
  TrainingRun& operator=(const TrainingRun&) = delete;

  RunOutcome run() {
    folder_.adopt(config_);
    open_data();
    prepare_engine();
    const bool resumed = restore();
    if (resumed && step_ >= steps_ && !mended_) {
      progress_->note(fmt::format("finished after step {}: nothing is left to do", step_));
      return {step_, false, 0};
    }
    if (!resumed) start();
    const SignalWatch watch;
    try {
      train();
    } catch (const Error&) {
      const bool full_disk = pause_->gave_up();
      end_writes();
      if (!full_disk) throw;
      progress_->note("the disk is still full: the run ends as it is durable");
      return {durable_step(), true, static_cast<int>(received_signal)};
    }
    progress_->finish();
    if (summary_.steps() > 0)
      progress_->note(summary_.text(peak_rss_bytes(), engine_->arena_bytes() + kProcessBytes));
    write_trace();
    return {step_, received_signal != 0 && step_ < steps_, static_cast<int>(received_signal)};
  }

 private:
  // Nobody waits for room any more, and no lane is at work.
  void end_writes() {
    ending_ = true;
    try {
      engine_->settle();
    } catch (const Error&) {  // the run has its error already
    }
  }

  void train() {
    // The evaluation before the first step stands under step 0: a run without checkpoint makes it
    // again.
    metrics_.emplace(folder_.metrics_path(), folder_.tensorboard_path(),
                     mended_     ? step_ - 1
                     : step_ > 0 ? step_
                                 : -1);
    sync_folder(folder_.path());  // its names, before anything below them is acknowledged
    sync_names_of(folder_.path());
    gemm_.emplace(config_.train.dtype);
    saved_at_ = seconds_now();
    if (step_ == 0) validate();  // where the model stands before it has learnt anything
    if (mended_) finish_mended_step();
    while (step_ < steps_ && received_signal == 0) {
      take_step();
      after_step();
    }
    if (step_ == steps_) validate();
    save();
    saver_.finish();
  }

  void open_data() {
    tokenizer_ = source_.tokenizer();
    check_vocabulary();
    DataOptions options = data_options(config_.data, config_.data.train, config_.train.seed);
    options.index_dir = folder_.path() + "/index";
    train_data_ = Dataset::open(options, *tokenizer_);
    batches_.emplace(train_data_, microbatch_rows(config_));
    if (config_.data.validation.empty()) return;
    options.files.assign(config_.data.validation.begin(), config_.data.validation.end());
    options.shuffle = false;
    validation_.emplace(Dataset::open(options, *tokenizer_), microbatch_rows(config_));
  }

  void check_vocabulary() const {
    const std::int64_t rows = source_.model().info().vocabulary;
    if (tokenizer_->vocabulary_size() > rows)
      fail(ErrorKind::InvalidArgument,
           "[model] {}: the tokenizer has more tokens than the embedding has rows; got {}; "
           "expected at most "
           "{}",
           source_.path(), tokenizer_->vocabulary_size(), rows);
  }

  void prepare_engine() {
    steps_ = total_steps(config_, *train_data_);
    const MachineChoice choice = choose_machine(config_.machine);
    machine_ = choice.machine;
    PlanningOptions planning = planning_options(config_, choice);
    plan_engine(source_.model(), config_, planning, engine_);
    if (choice.machine) forecast_.emplace(engine_->plan(), *choice.machine);
    const DiskUse disk =
        checked_disk_use(config_, source_.model(), *engine_, planning, steps_, forecast_);
    PlanContext context = plan_context(config_, steps_);
    context.disk = &disk;
    context.forecast = forecast_ ? &*forecast_ : nullptr;
    context.machine = machine_ ? &*machine_ : nullptr;
    context.machine_note = choice.note;
    ProgressOptions options = progress_to(STDERR_FILENO);
    options.total_steps = steps_;
    options.log_every = config_.train.log_every;
    progress_.emplace(options);
    progress_->note(describe_plan(source_.model(), *engine_, context));
    if (engine_->durable()) link_store_folder(config_);
    pause_.emplace([this](std::string_view line) { progress_->note(line); },
                   [this] { return received_signal != 0 || ending_; });
    StoreOptions store;
    if (kill_at_.armed())
      store.on_kill_point = [this](KillPoint point) { kill_at_.reached(name_of(point)); };
    engine_->allocate(config_.run, store);
    engine_->executor().before_task = [this](const Task& task) {
      if (task.kind == TaskKind::update) saver_.finish();
    };
  }

  bool restore() { return engine_->durable() ? restore_store() : restore_checkpoint(); }

  bool restore_checkpoint() {
    DurableState::remove_unfinished(folder_.path());
    const auto latest = folder_.latest_checkpoint();
    if (!latest) return false;
    const std::string path = folder_.checkpoint_path(*latest);
    const CheckpointInfo info = read_checkpoint_info(path);
    load_checkpoint(path, engine_->state());
    resume_after(info);
    return true;
  }

  bool restore_store() {
    if (!engine_->stored_step()) return import_checkpoint();
    engine_->restore();
    const StepRecord record = parse_step_record(engine_->stored_blob(), folder_.path());
    if (engine_->stored_step_waits()) {
      if (!record.metrics)
        fail(ErrorKind::Corruption, "[run] {}: the record of step {} lacks its numbers",
             folder_.path(), record.info.step);
      mended_ = record.metrics;
    }
    resume_after(record.info);
    return true;
  }

  // A crash came between the step's gradients and its commit; the engine has made its updates.
  void finish_mended_step() {
    progress_->note(
        fmt::format("step {} was cut short and has been finished from its gradient log", step_));
    metrics_->write(*mended_);
    waiting_ = checkpoint_info(step_);
    after_step();
  }

  void after_step() {
    const TrainConfig& train = config_.train;
    if (train.eval_every > 0 && step_ % train.eval_every == 0 && step_ < steps_) validate();
    if (save_is_due() && step_ < steps_) save();
  }

  // The run began with everything in RAM. Its newest checkpoint becomes the store's first step;
  // until that is durable there is no store, and the checkpoint is what the run goes on from.
  bool import_checkpoint() {
    const auto latest = folder_.latest_checkpoint();
    if (!latest) return false;
    const std::string path = folder_.checkpoint_path(*latest);
    const CheckpointInfo info = read_checkpoint_info(path);
    engine_->import(path);
    engine_->commit(info.step, to_text({info, std::nullopt}));
    progress_->note(fmt::format("moved the state of {} into {}/store; it is not read any more",
                                path, folder_.path()));
    resume_after(info);
    return true;
  }

  void resume_after(const CheckpointInfo& info) {
    batches_->restore(cursor_from_json(info.cursor));
    step_ = saved_ = info.step;
    progress_->note(fmt::format("resumed after step {} of {}", step_, steps_));
    if (info.threads != thread_count() || info.isa != name_of(active_isa()))
      progress_->note(
          fmt::format("warning: the run began with {} threads, {}; bits may differ from now on",
                      info.threads, info.isa));
  }

  CheckpointInfo checkpoint_info(std::int64_t step) const {
    return {step, to_json(batches_->cursor()), thread_count(), name_of(active_isa())};
  }

  void start() {
    source_.carry_to(folder_.path() + "/model");
    if (config_.init == Init::random)
      engine_->randomise(static_cast<std::uint64_t>(config_.train.seed));
    else
      engine_->load(*source_.weights());
    if (engine_->durable()) engine_->commit(0, to_text({checkpoint_info(0), std::nullopt}));
  }

  void take_step() {
    const double start = seconds_now();
    const int accumulation = training_shape(config_).accumulation;
    const std::int64_t targets = batches_->next_global(accumulation, microbatches_);
    const double lr = learning_rate(schedule_, config_.train.optimizer.lr, step_ + 1, steps_);
    StepMetrics metrics{.step = step_ + 1, .target_tokens = targets, .lr = lr};
    for (const Batch& batch : microbatches_) metrics.tokens += batch.real_tokens;
    target_share_ = static_cast<double>(targets) / positions();
    if (forecast_) metrics.predicted_seconds = forecast_->seconds(target_share_);
    const auto measure = [&](double loss) {
      metrics.loss = loss;
      metrics.grad_norm = engine_->gradient_norm();
      metrics.seconds = seconds_now() - start;
      metrics.peak_rss_bytes = peak_rss_bytes();
    };
    engine_->record = [&](double loss) {
      measure(loss);
      return to_text({checkpoint_info(step_ + 1), metrics});
    };
    // With a log, a step whose updates wait is committed within the next one.
    if (engine_->updates_wait())
      metrics_->sync();
    else
      commit_waiting(/*with_next_step=*/true);
    measure(engine_->step(microbatches_, targets,
                          {.step = step_ + 1, .lr = lr, .clip = config_.train.clip}));
    commit_waiting();
    ++step_;
    if (engine_->durable()) waiting_ = checkpoint_info(step_);
    metrics_->write(metrics);
    kill_at_.reached("after_metrics");
    summary_.add(metrics.seconds, metrics.predicted_seconds);
    ProgressStep shown{step_,           metrics.loss, metrics.tokens,
                       metrics.seconds, std::nullopt, metrics.predicted_seconds};
    if (const double gflops = gemm_gflops(); gflops > 0)
      shown.gemm_share = engine_->step_flops(targets) / metrics.seconds / 1e9 / gflops;
    progress_->step(shown);
  }

  // The waiting step is durable once its updates are made and its lines are written.
  void commit_waiting(bool with_next_step = false) {
    if (!waiting_) return;
    metrics_->sync();  // a loss of power must not leave a hole in the lines
    const std::string text = to_text({*waiting_, std::nullopt});
    if (with_next_step)
      engine_->commit_with_next(waiting_->step, text);
    else
      engine_->commit(waiting_->step, text);
    waiting_.reset();
  }

  // No update waits any more, and the step is durable.
  void finish_step() {
    engine_->finish_updates();
    commit_waiting();
  }

  // Of this minute: a share of what the machine gave an hour ago would mislead.
  double gemm_gflops() {
    constexpr double kGoodForSeconds = 60;
    if (const double now = seconds_now(); now - gemm_measured_at_ > kGoodForSeconds) {
      gemm_gflops_ = gemm_->gflops(0.1);
      gemm_measured_at_ = now;
    }
    return gemm_gflops_;
  }

  // Of the global batch, with and without a target.
  double positions() const {
    const TrainingShape shape = training_shape(config_);
    return static_cast<double>(shape.rows * shape.accumulation * shape.sequence_length);
  }

  void write_trace() {
    if (trace_path_.empty()) return;
    engine_->settle();
    const auto& times = engine_->executor().times();
    const bool ran = !times.empty() && times.back().end_seconds > 0;
    std::optional<Simulation> foretold;
    if (machine_) foretold = play(engine_->plan(), *machine_, target_share_);
    write_text_atomically(trace_path_,
                          step_trace(engine_->program(), engine_->plan(),
                                     foretold ? &*foretold : nullptr, ran ? &times : nullptr));
  }

  void validate() {
    if (!validation_) return;
    engine_->finish_updates();
    const double start = seconds_now();
    EvaluationTotals totals;
    validation_->rewind();
    while (validation_->next(validation_batch_)) engine_->evaluate(validation_batch_, totals);
    EvaluationMetrics metrics;
    metrics.step = step_;
    metrics.validation_loss = totals.loss_sum / static_cast<double>(totals.target_tokens);
    metrics.target_tokens = totals.target_tokens;
    metrics.seconds = seconds_now() - start;
    metrics_->write(metrics);
    progress_->note(fmt::format("step {}: validation loss {:.4f} nats per token ({:.1f} s)", step_,
                                metrics.validation_loss, metrics.seconds));
  }

  // A store has every step anyway.
  bool save_is_due() const {
    if (engine_->durable()) return false;
    const TrainConfig& train = config_.train;
    return (train.save_every > 0 && step_ % train.save_every == 0) ||
           (train.save_minutes > 0 && seconds_now() - saved_at_ >= 60 * train.save_minutes);
  }

  // A checkpoint goes on being written after this: see BackgroundSave.
  void save() {
    finish_step();
    if (engine_->durable() || step_ == 0 || step_ == saved_) return;
    saver_.finish();
    metrics_->sync();
    saved_ = step_;
    saved_at_ = seconds_now();
    saver_.start([this, info = checkpoint_info(step_), state = engine_->state()] {
      write_checkpoint(info, state);
    });
  }

  void write_checkpoint(const CheckpointInfo& info, const std::vector<NamedMemory>& state) {
    const std::string path = folder_.checkpoint_path(info.step);
    kill_at_.reached("before_checkpoint");
    save_checkpoint(path, info, state, [this](const char* point) { kill_at_.reached(point); });
    kill_at_.reached("after_checkpoint");
    folder_.prune_checkpoints(std::max<std::int64_t>(1, config_.train.keep_checkpoints));
    kill_at_.reached("after_prune");
    progress_->note(fmt::format("step {}: saved {}", info.step, path));
  }

  // What a resume would go on from; 0 also when that is the beginning.
  std::int64_t durable_step() const {
    return engine_->durable() ? engine_->stored_step().value_or(0)
                              : folder_.latest_checkpoint().value_or(0);
  }

  const RunConfig& config_;
  std::string trace_path_;
  RunFolder folder_;
  ModelSource source_;
  ScheduleOptions schedule_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::shared_ptr<const Dataset> train_data_;
  std::optional<BatchSource> batches_;
  std::optional<ValidationSource> validation_;
  // These four outlive the engine, whose lanes use them.
  std::optional<Progress> progress_;
  std::atomic<bool> ending_{false};  // an error ends the run: nobody waits for room any more
  KillAt kill_at_;
  std::optional<RoomPause> pause_;
  std::optional<TrainingEngine> engine_;
  std::optional<Machine> machine_;    // absent: no machine file
  std::optional<Forecast> forecast_;  // absent: no machine file
  std::vector<Batch> microbatches_;
  Batch validation_batch_;  // kept, so that its memory is taken once
  std::optional<MetricsWriter> metrics_;
  std::optional<CheckpointInfo> waiting_;  // of a durable plan's step that is not committed yet
  std::optional<StepMetrics> mended_;      // of the step that a crash had cut short
  std::optional<GemmMeter> gemm_;
  double gemm_gflops_ = 0, gemm_measured_at_ = -HUGE_VAL;  // of seconds_now
  RunSummary summary_;
  double target_share_ = 1;  // of the last step's positions, those with a target
  std::int64_t step_ = 0, steps_ = 0, saved_ = -1;
  double saved_at_ = 0;   // of seconds_now
  BackgroundSave saver_;  // last: it uses all of the above
};

}  // namespace

RunOutcome run_training(const RunConfig& config, const std::string& trace_path) {
  if (config.threads > 0) set_thread_count(config.threads);
  return TrainingRun(config, trace_path).run();
}

}  // namespace outsize
