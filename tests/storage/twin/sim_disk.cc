#include "storage/twin/sim_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace outsize {

namespace {

constexpr std::uint64_t kSectorBytes = 512;

class SimLock : public DiskLock {
 public:
  explicit SimLock(std::shared_ptr<bool> held) : held_(std::move(held)) {}

 private:
  std::shared_ptr<bool> held_;
};

}  // namespace

std::uint64_t Dice::next() {  // SplitMix64
  std::uint64_t x = state_ += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// Pieces move when they are collected, in any order: the twin of a queue in the disk.
class SimMover : public PieceMover {
 public:
  SimMover(SimDisk& disk, std::shared_ptr<SimNode> node, int depth)
      : disk_(disk), node_(std::move(node)) {
    pieces_.reserve(static_cast<std::size_t>(depth));
  }
  void start(const FilePiece& piece) noexcept override {
    const std::lock_guard lock(disk_.mutex_);
    pieces_.push_back(piece);
  }
  void flush() noexcept override {}
  int collect(std::span<MovedPiece> moved) noexcept override {
    const std::lock_guard lock(disk_.mutex_);
    std::size_t chosen = disk_.dice_.below(pieces_.size());
    if (disk_.dice_.chance(disk_.faults_.stall)) chosen = pieces_.size() - 1;  // the oldest waits
    const FilePiece piece = pieces_[chosen];
    pieces_.erase(pieces_.begin() + static_cast<std::ptrdiff_t>(chosen));
    const bool was_up = !disk_.crashed_;
    moved[0] = {piece.id, disk_.move(*node_, piece)};
    if (was_up && disk_.crashed_) reach_disk_by_chance();
    return 1;
  }

 private:
  // Writes that were under way when the machine went down, whole or torn.
  void reach_disk_by_chance() {
    for (const FilePiece& piece : pieces_)
      if (piece.write && disk_.dice_.chance(0.5))
        disk_.write(*node_, piece, disk_.dice_.below(piece.bytes + 1));
  }

  SimDisk& disk_;
  std::shared_ptr<SimNode> node_;
  std::vector<FilePiece> pieces_;
};

class SimFile : public RawFile {
 public:
  SimFile(SimDisk& disk, std::string path, std::shared_ptr<SimNode> node)
      : disk_(disk), path_(std::move(path)), node_(std::move(node)) {}
  const std::string& path() const override { return path_; }
  std::unique_ptr<PieceMover> make_mover(int depth) override {
    return std::make_unique<SimMover>(disk_, node_, depth);
  }
  int sync() noexcept override {
    const std::lock_guard lock(disk_.mutex_);
    return disk_.sync(*node_);
  }
  int allocate(std::uint64_t bytes) noexcept override {
    const std::lock_guard lock(disk_.mutex_);
    if (!disk_.begin_operation()) return EIO;
    if (bytes > disk_.free_bytes_) return ENOSPC;
    node_->now.resize(bytes);
    node_->durable.resize(bytes);
    return 0;
  }
  std::uint64_t size() const override {
    const std::lock_guard lock(disk_.mutex_);
    return node_->now.size();
  }
  int forget(std::uint64_t, std::uint64_t bytes, bool written) noexcept override {
    const std::lock_guard lock(disk_.mutex_);
    const int error = written ? disk_.write_back(*node_) : 0;
    if (error == 0 && bytes == node_->now.size()) disk_.drop_cache(*node_);
    return error;
  }

 private:
  SimDisk& disk_;
  std::string path_;
  std::shared_ptr<SimNode> node_;
};

bool SimDisk::begin_operation() {
  ++operations_;
  if (!crashed_ && operations_ == faults_.crash_at) crashed_ = true;
  return !crashed_;
}

void SimDisk::name_operation(const std::string& path) {
  if (!begin_operation()) fail(ErrorKind::Io, "[{}] the simulated machine is down", path);
}

void SimDisk::flip(std::byte& byte) {
  byte ^= std::byte{1} << static_cast<int>(dice_.below(8));
  ++damage_count_;
}

// Anywhere in the file: records, both copies, the log, padding.
void SimDisk::maybe_damage(SimNode& node) {
  if (node.now.empty() || !dice_.chance(faults_.rest_flip)) return;
  const std::uint64_t at = dice_.below(node.now.size());
  flip(node.now[at]);
  node.durable[at] = node.now[at];
}

void SimDisk::write(SimNode& node, const FilePiece& piece, std::uint64_t bytes) {
  std::memcpy(node.now.data() + piece.offset, piece.memory, bytes);
  node.unsynced.push_back({piece.offset, bytes});
}

std::int64_t SimDisk::move(SimNode& node, const FilePiece& piece) {
  const bool in_file = piece.offset <= node.now.size();
  std::uint64_t bytes =
      in_file ? std::min<std::uint64_t>(piece.bytes, node.now.size() - piece.offset) : 0;
  if (!begin_operation()) {
    if (operations_ == faults_.crash_at && piece.write)  // torn by the crash itself
      write(node, piece, dice_.below(bytes + 1));
    return -EIO;
  }
  if (dice_.chance(faults_.io_error)) return -EIO;
  if (piece.write && operations_ >= faults_.no_space_from && operations_ < faults_.no_space_until)
    return -ENOSPC;
  if (bytes > 0 && dice_.chance(faults_.transient)) {
    const std::uint64_t kind = dice_.below(4);
    if (kind == 0) return -EINTR;
    if (kind == 1) return -EAGAIN;
    bytes = 1 + dice_.below(bytes);  // 0 would be the end of the file
  }
  if (piece.write) {
    write(node, piece, bytes);
    maybe_damage(node);
  } else if (bytes > 0) {
    std::memcpy(piece.memory, node.now.data() + piece.offset, bytes);
    if (dice_.chance(faults_.read_flip)) flip(piece.memory[dice_.below(bytes)]);
  }
  return static_cast<std::int64_t>(bytes);
}

int SimDisk::sync(SimNode& node) {
  if (!begin_operation()) return EIO;
  if (dice_.chance(faults_.sync_error)) {  // as Linux: pages are dropped, the next sync says yes
    lose_unsynced(node);
    return EIO;
  }
  if (ignore_syncs_) return 0;
  for (const SimRange& range : node.unsynced)
    std::memcpy(node.durable.data() + range.offset, node.now.data() + range.offset, range.bytes);
  node.unsynced.clear();
  return 0;
}

// Reads go on finding the bytes in memory, but no sync will make them durable.
int SimDisk::write_back(SimNode& node) {
  if (crashed_ || !dice_.chance(faults_.write_back_error)) return 0;
  node.lost.insert(node.lost.end(), node.unsynced.begin(), node.unsynced.end());
  node.unsynced.clear();
  return EIO;
}

void SimDisk::drop_cache(SimNode& node) {
  if (node.lost.empty()) return;
  const std::vector<std::byte> cached = node.now;
  for (const SimRange& range : node.lost)
    std::memcpy(node.now.data() + range.offset, node.durable.data() + range.offset, range.bytes);
  for (const SimRange& range : node.unsynced)
    std::memcpy(node.now.data() + range.offset, cached.data() + range.offset, range.bytes);
  node.lost.clear();
}

// Each un-synced write survives whole, not at all, by a prefix, or by arbitrary sectors.
void SimDisk::lose_unsynced(SimNode& node) {
  std::vector<std::byte> left = node.durable;
  const std::uint64_t mood = dice_.below(4);  // 0: nothing survives, 1: all of it
  for (const SimRange& range : node.unsynced) {
    const std::uint64_t fate = mood < 2 ? mood : dice_.below(4);
    const std::uint64_t prefix = dice_.below(range.bytes + 1);
    for (std::uint64_t at = 0; at < range.bytes;) {
      const std::uint64_t in_sector = (range.offset + at) % kSectorBytes;
      const std::uint64_t bytes = std::min(kSectorBytes - in_sector, range.bytes - at);
      const bool survives =
          fate == 1 || (fate == 2 && at < prefix) || (fate == 3 && dice_.below(2) == 0);
      if (survives)
        std::memcpy(left.data() + range.offset + at, node.now.data() + range.offset + at, bytes);
      at += bytes;
    }
  }
  node.unsynced.clear();
  node.lost.clear();
  node.now = left;
  node.durable = std::move(left);
}

void SimDisk::set_faults(const SimFaults& faults) {
  const std::lock_guard lock(mutex_);
  faults_ = faults;
  operations_ = 0;
}

void SimDisk::crash() {
  const std::lock_guard lock(mutex_);
  crashed_ = true;
}

void SimDisk::restart() {
  const std::lock_guard lock(mutex_);
  if (crashed_ && faults_.power) {
    names_ = durable_names_[dice_.below(durable_names_.size())];
    for (auto& [path, node] : names_) lose_unsynced(*node);
  }
  // A killed process leaves its writes to the system, which goes on and may fail later.
  durable_names_ = crashed_ && !faults_.power ? durable_names_ : std::vector<Names>{names_};
  crashed_ = false;
  faults_ = {};
  operations_ = 0;
}

std::unique_ptr<RawFile> SimDisk::create(const std::string& path) {
  const std::lock_guard lock(mutex_);
  name_operation(path);
  names_[path] = std::make_shared<SimNode>();
  durable_names_.push_back(names_);
  return std::make_unique<SimFile>(*this, path, names_[path]);
}

std::unique_ptr<RawFile> SimDisk::open(const std::string& path) {
  const std::lock_guard lock(mutex_);
  name_operation(path);
  if (!names_.count(path)) fail(ErrorKind::Io, "[{}] no such simulated file", path);
  return std::make_unique<SimFile>(*this, path, names_[path]);
}

bool SimDisk::exists(const std::string& path) {
  const std::lock_guard lock(mutex_);
  name_operation(path);
  return names_.count(path) > 0;
}

void SimDisk::remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  name_operation(path);
  names_.erase(path);
  durable_names_.push_back(names_);
}

void SimDisk::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  name_operation(from);
  names_[to] = names_.at(from);
  names_.erase(from);
  durable_names_.push_back(names_);
}

void SimDisk::sync_folder(const std::string& path) {
  const std::lock_guard lock(mutex_);
  name_operation(path);
  durable_names_ = {names_};
}

std::unique_ptr<DiskLock> SimDisk::lock(const std::string& path) {
  const std::lock_guard guard(mutex_);
  name_operation(path);
  if (!locks_[path].expired()) fail(ErrorKind::Io, "[{}] in use by process 0", path);
  auto held = std::make_shared<bool>(true);
  locks_[path] = held;
  return std::make_unique<SimLock>(std::move(held));
}

}  // namespace outsize
