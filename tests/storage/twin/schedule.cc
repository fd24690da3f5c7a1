#include "storage/twin/schedule.h"

#include <algorithm>

#include "core/error.h"

namespace outsize {
namespace {

constexpr int kMaxStarts = 40;
const std::string kFolder = "run";

// An undisturbed run: what to end with, and how long crashes may wait.
struct Reference {
  explicit Reference(StoreScheme scheme) {
    const ToyOptions options{.scheme = scheme};
    state = toy_expected(options);
    SimDisk disk(1);
    ToyOptions counted = options;
    counted.on_kill_point = [this](KillPoint) { ++kill_points; };
    (void)run_toy(disk, kFolder, counted);
    operations = disk.operations();
  }
  ToyState state;
  std::uint64_t operations = 0;
  std::uint64_t kill_points = 0;
};

const Reference& reference_of(StoreScheme scheme) {
  static const Reference two_slots(StoreScheme::two_slots), ring(StoreScheme::ring);
  return scheme == StoreScheme::ring ? ring : two_slots;
}

class Schedule {
 public:
  explicit Schedule(const ScheduleOptions& options)
      : options_(options),
        reference_(reference_of(options.scheme)),
        dice_(options.seed * 2 + 1),
        disk_(options.seed * 2 + 2) {}

  ScheduleResult run() {
    crashes_left_ = 1 + static_cast<int>(dice_.below(3));
    while (result_.starts < kMaxStarts) {
      ++result_.starts;
      draw_faults();
      if (start_once()) return result_;
      if (disk_.crashed()) ++result_.crashes;
      disk_.restart();
    }
    return wrong("the run never came to its end");
  }

 private:
  // Six kinds by seed: crashes of the machine, kills of the process, and crashes with errors that
  // pass, with bits that turn, with errors of the disk, with everything.
  void draw_faults() {
    const std::uint64_t kind = options_.seed % 6;
    const bool everything = kind == 5;
    SimFaults faults{.stall = 0.2, .power = kind != 1 && dice_.below(4) != 0};
    const bool trouble = result_.starts < kMaxStarts / 2;  // lets every run come to its end
    if (trouble && (kind == 2 || everything)) faults.transient = 0.15;
    if (trouble && (kind == 3 || everything)) {
      faults.read_flip = dice_.chance(0.3) ? 0.002 : 0;
      faults.rest_flip = dice_.chance(0.7) ? 0.004 : 0;
    }
    if (trouble && (kind == 4 || everything)) {
      faults.io_error = 0.01;
      faults.sync_error = dice_.chance(0.5) ? 0.03 : 0;
      faults.write_back_error = dice_.chance(0.3) ? 0.003 : 0;
      faults.no_space_from = dice_.below(reference_.operations);
      faults.no_space_until = faults.no_space_from + dice_.below(100);
    }
    kill_point_left_ = 0;
    if (crashes_left_ > 0) {
      --crashes_left_;
      if (dice_.below(3) == 0)
        kill_point_left_ = 1 + dice_.below(reference_.kill_points);
      else
        faults.crash_at = 1 + dice_.below(reference_.operations);
    }
    disk_.set_faults(faults);
  }

  ToyOptions toy() {
    ToyOptions toy{.scheme = options_.scheme};
    toy.on_kill_point = [this](KillPoint point) {
      if (options_.plant) options_.plant(disk_, point);
      if (kill_point_left_ > 0 && --kill_point_left_ == 0) disk_.crash();
    };
    toy.on_commit = [this](std::int64_t step) {
      if (step < acknowledged_ && disk_.damage_count() == 0)
        fail(ErrorKind::Internal, "came back to step {} after step {} was durable", step,
             acknowledged_);
      acknowledged_ = step;
    };
    return toy;
  }

  // True when the run is over, one way or the other.
  bool start_once() {
    try {
      judge(run_toy(disk_, kFolder, toy()));
      return true;
    } catch (const Error& error) {
      const bool damaged = error.kind() == ErrorKind::Corruption;
      if (error.kind() == ErrorKind::Io) return false;
      const bool named = std::string(error.what()).find(kFolder + "/state") != std::string::npos;
      if (damaged && named && disk_.damage_count() > 0) {
        result_.verdict = Verdict::stopped;
        result_.message = error.what();
      } else {
        (void)wrong(error.what());
      }
      return true;
    }
  }

  void judge(const ToyState& state) {
    if (state == reference_.state)
      result_.verdict = Verdict::identical;
    else
      (void)wrong("the run ended with other bits");
    // Every so often: whatever happened, what is left must be sound.
    if (options_.seed % 8 == 0 && disk_.damage_count() == 0 && !options_.plant) require_sound();
  }

  void require_sound() {
    disk_.restart();
    const auto store = StateStore::open(disk_, kFolder, {});
    const std::vector<StepReport> reports = store->verify();
    if (!reports[0].newest || !reports[0].resumable || reports[0].step != reference_.state.step)
      (void)wrong("verify finds the last step damaged");
  }

  ScheduleResult wrong(const std::string& message) {
    result_.verdict = Verdict::wrong;
    result_.message = message;
    return result_;
  }

  ScheduleOptions options_;
  const Reference& reference_;
  Dice dice_;
  SimDisk disk_;
  ScheduleResult result_;
  int crashes_left_ = 0;
  std::uint64_t kill_point_left_ = 0;
  std::int64_t acknowledged_ = -1;
};

}  // namespace

ScheduleResult run_schedule(const ScheduleOptions& options) {
  return Schedule(options).run();
}

}  // namespace outsize
