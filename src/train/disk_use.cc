#include "train/disk_use.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "exec/disk_tiers.h"
#include "machine/file_system.h"
#include "storage/layout.h"
#include "train/show_plan.h"
#include "train/store_folder.h"

namespace outsize {
namespace {

namespace fs = std::filesystem;

// A line of metrics.jsonl and an event of five scalars, with room to spare.
constexpr std::int64_t kMetricsBytesPerStep = 768;

// Space that files take, in a folder or in one of them; what is missing takes none.
std::int64_t taken(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return 0;
  constexpr std::int64_t kStatBlock = 512;  // whatever the file system's own
  std::int64_t bytes = static_cast<std::int64_t>(status.st_blocks) * kStatBlock;
  if (!S_ISDIR(status.st_mode)) return bytes;
  std::error_code error;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
    bytes += taken(it->path());
  return bytes;
}

double entries(const fs::path& folder) {
  std::error_code error;
  fs::directory_iterator it(folder, error);
  return error ? 0 : static_cast<double>(std::distance(it, fs::directory_iterator()));
}

std::uint64_t device_of(const std::string& folder) {
  struct stat status {};
  const std::string path = nearest_existing(folder);
  if (::stat(path.c_str(), &status) != 0)
    fail(ErrorKind::Io, "[disk] {}: cannot be examined; try another folder", path);
  return status.st_dev;
}

// Where the store of the run lies, or will.
std::string place_of_store(const RunConfig& config) {
  const std::string own = store_folder(config.run);
  std::error_code error;
  return fs::exists(own, error) ? own : config.budget.disk.value_or(config.run);
}

Geometry store_geometry(const TrainingEngine& engine) {
  constexpr std::uint64_t kAnyIdentity = 1;
  return Geometry(store_layout(engine.plan(), kAnyIdentity,
                               static_cast<std::uint64_t>(engine.knobs().store_block)));
}

double checkpoint_count(const TrainConfig& train, std::int64_t steps,
                        std::optional<double> step_seconds) {
  double interval = train.save_every > 0 ? static_cast<double>(train.save_every) : HUGE_VAL;
  if (train.save_minutes > 0 && step_seconds)
    interval = std::min(interval, std::max(1.0, 60 * train.save_minutes / *step_seconds));
  return std::max(1.0, std::ceil(static_cast<double>(steps) / interval));
}

std::vector<DiskPart> parts_of(const RunConfig& config, const TrainingEngine& engine,
                               const DiskWrites& writes) {
  std::vector<DiskPart> parts;
  const auto add = [&](const char* name, const std::string& folder, double bytes, double there) {
    if (bytes > there)
      parts.push_back({name, folder, static_cast<std::int64_t>(std::ceil(bytes - there))});
  };
  const std::string own = store_folder(config.run);
  const auto there = [&](const char* name) { return static_cast<double>(taken(own + "/" + name)); };
  if (engine.durable()) {
    const std::string folder = place_of_store(config);
    add("state", folder, static_cast<double>(store_geometry(engine).file_bytes),
        there("state") + there("state.new"));
    add("scratch", folder, static_cast<double>(engine.scratch_bytes()), 0);
  } else {
    // A new one is whole before an old one goes.
    const std::string folder = config.run + "/checkpoints";
    const double most = static_cast<double>(config.train.keep_checkpoints) + 1;
    const double kept = std::min(most, entries(folder) + writes.checkpoints);
    add("checkpoints", config.run, kept * writes.checkpoint, static_cast<double>(taken(folder)));
  }
  add("metrics", config.run, static_cast<double>(writes.steps) * kMetricsBytesPerStep,
      static_cast<double>(taken(config.run + "/metrics.jsonl") +
                          taken(config.run + "/tensorboard")));
  return parts;
}

std::vector<DiskRoom> rooms_of(const std::vector<DiskPart>& parts) {
  std::vector<DiskRoom> rooms;
  std::vector<std::uint64_t> devices;
  for (const DiskPart& part : parts) {
    const std::uint64_t device = device_of(part.folder);
    const auto at = std::find(devices.begin(), devices.end(), device);
    if (at != devices.end()) {
      rooms[static_cast<size_t>(at - devices.begin())].parts.push_back(part);
      continue;
    }
    devices.push_back(device);
    rooms.push_back(
        {part.folder, {part}, file_system_of(nearest_existing(part.folder)).free_bytes});
  }
  return rooms;
}

std::string list_parts(const DiskRoom& room) {
  std::string text;
  for (const DiskPart& part : room.parts)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", part.name, show_bytes(part.bytes));
  return text;
}

// What takes less room, the gentlest first.
std::string room_remedies(const RunConfig& config, bool durable) {
  std::string text = durable ? "budget.disk or run on another disk" : "run on another disk";
  if (!durable && config.train.keep_checkpoints > 1) text += ", train.keep_checkpoints=1";
  const OptimizerConfig& optimizer = config.train.optimizer;
  if (optimizer.name != "adafactor" && optimizer.moment_dtype != DType::bf16)
    text += ", train.optimizer.moment_dtype=bf16";
  if (optimizer.name != "adafactor") text += ", train.optimizer.name=adafactor";
  if (durable) text += ", a larger budget.memory";
  return text;
}

// SSDs are sold by terabytes written.
std::string show_written(double bytes) {
  return bytes >= 1e12 ? fmt::format("{:.2f} TB", bytes / 1e12)
                       : show_bytes(static_cast<std::int64_t>(bytes));
}

}  // namespace

std::int64_t DiskRoom::needed_bytes() const {
  std::int64_t bytes = 0;
  for (const DiskPart& part : parts) bytes += part.bytes;
  return bytes;
}

double DiskWrites::total() const {
  return start + per_step * static_cast<double>(steps) + checkpoint * checkpoints;
}

DiskUse disk_use(const RunConfig& config, const TrainingEngine& engine, std::int64_t steps,
                 std::optional<double> step_seconds) {
  DiskWrites writes{.per_step = kMetricsBytesPerStep, .steps = steps};
  if (engine.durable()) {
    const Geometry geometry = store_geometry(engine);
    writes.start = static_cast<double>(geometry.state_bytes);
    writes.per_step += static_cast<double>(geometry.commit_bytes);
    for (const Task& task : engine.plan().tasks)
      if (task.kind == TaskKind::write) writes.per_step += task.bytes;
  } else {
    writes.checkpoint = static_cast<double>(engine.state_bytes());
    writes.checkpoints = checkpoint_count(config.train, steps, step_seconds);
  }
  return {rooms_of(parts_of(config, engine, writes)), writes};
}

void require_room(const DiskUse& use, const RunConfig& config, bool durable) {
  for (const DiskRoom& room : use.rooms)
    if (room.needed_bytes() > room.free_bytes)
      fail(ErrorKind::OutOfMemory,
           "[disk] {}: too little room for the run; got {} free; expected {} ({}); try {}",
           room.folder, show_bytes(room.free_bytes), show_bytes(room.needed_bytes()),
           list_parts(room), room_remedies(config, durable));
}

void require_writes(const DiskUse& use, const RunConfig& config,
                    std::optional<std::int64_t> resident_budget) {
  const DiskWrites& writes = use.writes;
  if (!config.budget.max_writes || writes.steps == 0) return;
  const auto bound = static_cast<double>(*config.budget.max_writes);
  if (writes.total() <= bound) return;
  std::string remedies;
  const auto add = [&](const std::string& text) {
    remedies += fmt::format("{}{}", remedies.empty() ? "" : "; ", text);
  };
  const double streamed = writes.start + writes.per_step * static_cast<double>(writes.steps);
  if (writes.checkpoint > 0 && streamed + writes.checkpoint <= bound) {
    const double affordable = std::floor((bound - streamed) / writes.checkpoint);
    add(fmt::format("train.save_every={:.0f}{}",
                    std::ceil(static_cast<double>(writes.steps) / affordable),
                    config.train.save_minutes > 0 ? " and train.save_minutes=0" : ""));
  }
  if (resident_budget)
    add(fmt::format("budget.memory={}MiB, which keeps all state in RAM and writes checkpoints only",
                    (*resident_budget >> 20) + 1));
  const double left = bound - writes.start - writes.checkpoint;
  if (const double steps = std::floor(left / writes.per_step); steps >= 1 && writes.start > 0)
    add(fmt::format("train.steps={:.0f}", std::min(steps, static_cast<double>(writes.steps))));
  add("a larger budget.max_writes");
  fail(ErrorKind::OutOfMemory,
       "[disk] the run would write more than budget.max_writes; got {} expected in {} steps ({} "
       "per step{}); expected at most {}; try {}",
       show_written(writes.total()), writes.steps, show_written(writes.per_step),
       writes.checkpoint > 0 ? fmt::format(", {:.0f} checkpoints of {}", writes.checkpoints,
                                           show_written(writes.checkpoint))
                             : fmt::format(", {} at the start", show_written(writes.start)),
       show_written(bound), remedies);
}

std::string describe(const DiskUse& use) {
  std::string text;
  for (const DiskRoom& room : use.rooms)
    text += fmt::format("room     {} of {} free in {} ({})\n", show_bytes(room.needed_bytes()),
                        show_bytes(room.free_bytes), room.folder, list_parts(room));
  const DiskWrites& writes = use.writes;
  text += fmt::format("writes   {} per step", show_written(writes.per_step));
  if (writes.checkpoint > 0)
    text += fmt::format(", {} per checkpoint", show_written(writes.checkpoint));
  if (writes.steps > 0)
    text += fmt::format("; {} in {} steps", show_written(writes.total()), writes.steps);
  return text + "\n";
}

nlohmann::json to_json(const DiskUse& use) {
  nlohmann::json rooms = nlohmann::json::array();
  for (const DiskRoom& room : use.rooms) {
    nlohmann::json parts = nlohmann::json::object();
    for (const DiskPart& part : room.parts) parts[part.name] = part.bytes;
    rooms.push_back({{"folder", room.folder},
                     {"parts", parts},
                     {"needed_bytes", room.needed_bytes()},
                     {"free_bytes", room.free_bytes}});
  }
  return {{"rooms", rooms},
          {"written_bytes_per_step", use.writes.per_step},
          {"written_bytes_per_checkpoint", use.writes.checkpoint},
          {"checkpoints", use.writes.checkpoints},
          {"written_bytes", use.writes.total()}};
}

}  // namespace outsize
