#include "train/twin/training_schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "core/room.h"
#include "storage/aligned_buffer.h"
#include "train/engine.h"
#include "train/tiny.h"

namespace outsize::train_test {
namespace {

constexpr int kMaxStarts = 40;
constexpr std::int64_t kSteps = 3, kRows = 1, kLength = 16;
const std::string kFolder = "run";

using State = std::map<std::string, std::string>;  // by name

// One layer: three groups in the store, and a start takes a few milliseconds.
std::unique_ptr<Model> small_model() {
  return model_from_hf_config({{"model_type", "qwen2"},
                               {"hidden_size", 16},
                               {"intermediate_size", 24},
                               {"num_hidden_layers", 1},
                               {"num_attention_heads", 2},
                               {"num_key_value_heads", 1},
                               {"vocab_size", 96},
                               {"max_position_embeddings", 64},
                               {"rms_norm_eps", 1e-6},
                               {"tie_word_embeddings", false}},
                              "config.json");
}

// Any choice of what comes and goes; every one has a store, in one of its layouts.
PlanKnobs knobs_by(std::uint64_t seed, bool ring, bool clips, size_t calls) {
  const Rng rng(seed, 0x7477696e);
  std::uint64_t draws = 0;
  const auto chance = [&] { return rng.below(draws++, 2) == 1; };
  PlanKnobs knobs;
  knobs.durable = true;
  knobs.ring = ring;
  knobs.vertical = chance();
  if (chance()) knobs.updates = UpdateTime::next_forward;
  if (!ring && !clips && chance()) knobs.updates = UpdateTime::with_backward;
  for (auto* list :
       {&knobs.stream_weights, &knobs.stream_state, &knobs.offload_gradients, &knobs.offload_saved})
    for (size_t call = 0; call < calls; ++call) list->push_back(chance());
  knobs.store_block = 4096;
  knobs.piece_elements = 2048;
  knobs.read_ahead_bytes = knobs.write_behind_bytes = 32 << 10;
  return knobs;
}

// The model, its batch, and the run that nothing disturbed: in RAM, no disk at all.
struct Reference {
  Reference(DType dtype, double clip) : dtype(dtype), clip(clip), model(small_model()) {
    set_thread_count(1);
    batch = random_batch(kRows, kLength, 96, 1);
    calls =
        model
            ->program(
                {.mode = BuildOptions::Mode::training, .tokens = kLength, .row_length = kLength})
            .calls.size();
    const auto engine = make({});
    engine->allocate();
    engine->randomise(1);
    for (std::int64_t step = 1; step <= kSteps; ++step)
      losses.push_back(engine->step({&batch, 1}, batch.target_tokens, args(step)));
    for (const NamedMemory& memory : engine->state())
      state[memory.name] = {static_cast<const char*>(memory.data),
                            static_cast<size_t>(memory.shape.numel() * size_of(memory.dtype))};
  }

  std::unique_ptr<TrainingEngine> make(const PlanningOptions& options) const {
    return std::make_unique<TrainingEngine>(*model, TrainingShape{kRows, kLength, 1, dtype, false},
                                            OptimizerOptions{}, options);
  }
  PlanningOptions options(std::uint64_t seed, bool ring) const {
    return {.clips = clip > 0, .knobs = knobs_by(seed, ring, clip > 0, calls)};
  }
  StepArgs args(std::int64_t step) const { return {.step = step, .lr = 1e-2, .clip = clip}; }

  DType dtype;
  double clip;  // 0: off
  std::unique_ptr<Model> model;
  Batch batch;
  size_t calls = 0;
  std::vector<double> losses;
  State state;
};

// How long accidents may wait: what happens in an undisturbed run with a store.
struct Length {
  Length(const Reference& reference, bool ring) {
    SimDisk disk(1);
    counts.resize(kKillPointCount);
    const auto engine = reference.make(reference.options(1, ring));
    const auto count = [this](KillPoint point) {
      const std::lock_guard lock(mutex);
      ++counts[static_cast<size_t>(point)];
    };
    engine->allocate(kFolder, {.on_kill_point = count}, &disk);
    engine->randomise(1);
    engine->commit(0, "");
    for (std::int64_t step = 1; step <= kSteps; ++step) {
      const Batch& batch = reference.batch;
      engine->step({&batch, 1}, batch.target_tokens, reference.args(step));
      engine->finish_updates();
      engine->commit(step, "");
    }
    operations = disk.operations();
  }
  std::mutex mutex;
  std::vector<std::uint64_t> counts;  // per kill point
  std::uint64_t operations = 0;
};

const Length& run_length(const Reference& reference, bool ring) {
  static const Length two_slots(reference, false), with_log(reference, true);
  return ring ? with_log : two_slots;
}

// Each layout with every kind of trouble, and both dtypes: f32 without clipping.
bool has_ring(std::uint64_t seed) {
  return seed / 12 % 2 == 1;
}

const Reference& reference_of(std::uint64_t seed) {
  static const Reference f32(DType::f32, 0), bf16(DType::bf16, 0.5);
  return seed % 2 == 0 ? f32 : bf16;
}

class TrainingSchedule {
 public:
  explicit TrainingSchedule(const TrainingScheduleOptions& options)
      : options_(options),
        reference_(reference_of(options.seed)),
        length_(run_length(reference_, has_ring(options.seed))),
        dice_(options.seed * 2 + 1),
        disk_(options.seed * 2 + 2) {}

  TrainingResult run() {
    crashes_left_ = 1 + static_cast<int>(dice_.below(3));
    while (result_.starts < kMaxStarts) {
      ++result_.starts;
      draw_faults();
      if (start_once()) return result_;
      if (disk_.crashed())
        ++result_.crashes;
      else
        ++result_.errors;
      disk_.restart();
    }
    return wrong("the run never came to its end");
  }

 private:
  // Six kinds by seed: crashes of the machine, kills of the process, and crashes with errors that
  // pass, with bits that turn, with errors of the disk, with everything.
  void draw_faults() {
    const std::uint64_t kind = options_.seed / 2 % 6;
    const bool everything = kind == 5;
    SimFaults faults{.stall = 0.2, .power = kind != 1 && dice_.below(4) != 0};
    const bool trouble = result_.starts < kMaxStarts / 2;  // lets every run come to its end
    if (trouble && (kind == 2 || everything)) faults.transient = 0.1;
    if (trouble && (kind == 3 || everything)) {
      faults.read_flip = dice_.chance(0.3) ? 0.001 : 0;
      faults.rest_flip = dice_.chance(0.7) ? 0.003 : 0;
    }
    if (trouble && (kind == 4 || everything)) {
      faults.io_error = dice_.chance(0.5) ? 0.001 : 0;
      faults.sync_error = dice_.chance(0.5) ? 0.03 : 0;
      faults.write_back_error = dice_.chance(0.3) ? 0.003 : 0;
      faults.no_space_from = dice_.below(length_.operations);
      faults.no_space_until = faults.no_space_from + dice_.below(100);
    }
    patient_ = dice_.chance(0.7);
    kill_point_left_ = 0;
    if (crashes_left_ > 0) {
      --crashes_left_;
      if (dice_.below(2) == 0)
        draw_kill_point();
      else
        faults.crash_at = 1 + dice_.below(length_.operations);
    }
    disk_.set_faults(faults);
  }

  // Every point equally often, however often a run comes by.
  void draw_kill_point() {
    std::uint64_t times = 0;
    while (times == 0) {
      kill_point_ = static_cast<KillPoint>(dice_.below(kKillPointCount));
      times = length_.counts[static_cast<size_t>(kill_point_)];
    }
    kill_point_left_ = 1 + static_cast<std::int64_t>(dice_.below(times));
  }

  // True when the run is over, one way or the other.
  bool start_once() {
    std::optional<RoomWaiter> waiter;
    if (patient_)
      waiter.emplace([this](const std::string&, std::uint64_t) {
        ++pauses_;
        return true;
      });
    try {
      train();
      result_.verdict = Verdict::identical;
      judge_state();
    } catch (const Error& error) {
      result_.pauses = pauses_;
      return ends(error);
    }
    result_.pauses = pauses_;
    return true;
  }

  bool ends(const Error& error) {
    const std::string text = error.what();
    if (error.kind() == ErrorKind::Io) return false;
    const bool damaged = error.kind() == ErrorKind::Corruption && disk_.damage_count() > 0;
    // What is in scratch is worth nothing after the step: the last finished one is whole.
    if (damaged && text.find(kFolder + "/store/scratch") != std::string::npos) {
      ++result_.scratch_damage;
      return false;
    }
    if (damaged && text.find(kFolder + "/store/state") != std::string::npos) {
      result_.verdict = Verdict::stopped;
      result_.message = text;
    } else {
      (void)wrong(text);
    }
    return true;
  }

  // As a run does it (train/run.cc).
  void train() {
    const auto engine = reference_.make(
        reference_.options(options_.seed + static_cast<std::uint64_t>(result_.starts) * 1009,
                           has_ring(options_.seed)));
    engine->allocate(kFolder, {.on_kill_point = [this](KillPoint point) { reach(point); }}, &disk_);
    std::int64_t step = 0;
    if (const auto stored = engine->stored_step()) {
      step = *stored;
      require(engine->stored_blob() == fmt::format("step {}", step), "the blob is another step's");
      require(step >= acknowledged_ || disk_.damage_count() > 0,
              fmt::format("came back to step {} after step {} was durable", step, acknowledged_));
      const bool waits = engine->stored_step_waits();
      engine->restore();
      if (waits) commit(*engine, step);
    } else {
      require(acknowledged_ < 0 || disk_.damage_count() > 0, "the store is gone");
      engine->randomise(1);
      commit(*engine, 0);
    }
    std::optional<std::int64_t> waiting;
    const auto commit_waiting = [&] {
      if (waiting) commit(*engine, *waiting);
      waiting.reset();
    };
    while (step < kSteps) {
      if (!engine->updates_wait() && waiting) {
        engine->commit_with_next(*waiting, fmt::format("step {}", *waiting));
        acknowledged_ = *waiting - (engine->plan().carries ? 1 : 0);  // what was handed over before
        waiting.reset();
      }
      const Batch& batch = reference_.batch;
      engine->record = [step](double) { return fmt::format("step {}", step + 1); };
      const double loss = engine->step({&batch, 1}, batch.target_tokens, reference_.args(step + 1));
      require(loss == reference_.losses[static_cast<size_t>(step)],
              fmt::format("the loss of step {} is another one", step + 1));
      commit_waiting();
      waiting = ++step;
    }
    engine->finish_updates();
    commit_waiting();
  }

  void commit(TrainingEngine& engine, std::int64_t step) {
    engine.commit(step, fmt::format("step {}", step));
    acknowledged_ = step;
  }

  // Called by lanes.
  void reach(KillPoint point) {
    if (options_.plant) options_.plant(disk_, point);
    if (point == kill_point_ && --kill_point_left_ == 0) disk_.crash();
  }

  // What a later reader finds, on a disk that works again.
  void judge_state() {
    disk_.set_faults({});
    const auto store = StateStore::open(disk_, kFolder + "/store", {});
    require(store->step() == kSteps, "the store stands at another step");
    const auto& groups = store->layout().groups;
    size_t items = 0;
    for (size_t g = 0; g < groups.size(); ++g)
      for (size_t e = 0; e < groups[g].extents.size(); ++e, ++items) {
        const ExtentSpec& extent = groups[g].extents[e];
        AlignedBuffer memory(extent.bytes);
        const StoreStatus status = store->wait(store->read(
            {static_cast<int>(g), static_cast<int>(e), 0, extent.bytes}, memory.data()));
        if (!status.ok()) throw store->error(status);
        const auto expected = reference_.state.find(extent.name);
        require(expected != reference_.state.end(), "the store has an item that nobody wrote");
        require(std::equal(expected->second.begin(), expected->second.end(),
                           reinterpret_cast<const char*>(memory.data())),
                extent.name + " has other bits");
      }
    require(items == reference_.state.size(), "the store has other items");
  }

  static void require(bool condition, const std::string& message) {
    if (!condition) throw Error(ErrorKind::Internal, message);
  }

  TrainingResult wrong(const std::string& message) {
    result_.verdict = Verdict::wrong;
    result_.message = message;
    return result_;
  }

  TrainingScheduleOptions options_;
  const Reference& reference_;
  const Length& length_;
  Dice dice_;
  SimDisk disk_;
  TrainingResult result_;
  bool patient_ = false;
  std::atomic<int> pauses_{0};
  int crashes_left_ = 0;
  KillPoint kill_point_ = KillPoint::after_allocate;
  std::atomic<std::int64_t> kill_point_left_{0};
  std::int64_t acknowledged_ = -1;
};

}  // namespace

TrainingResult run_training_schedule(const TrainingScheduleOptions& options) {
  return TrainingSchedule(options).run();
}

}  // namespace outsize::train_test
