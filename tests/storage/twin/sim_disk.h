// The fault-injecting twin of a disk: files in memory behind the same interface, which come back
// short, interrupted, wrong or not at all, by a seed. What is not synced may be lost in a crash,
// each sector on its own, and names as well. docs/DURABILITY.md states the fault model.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "storage/disk.h"

namespace outsize {

// Probabilities are per operation: a piece moved, a sync, a call on names.
struct SimFaults {
  double transient = 0;         // short moves, EINTR, EAGAIN
  double stall = 0;             // a piece that lets others overtake it
  double io_error = 0;          // EIO of a piece
  double sync_error = 0;        // EIO of a sync, which also loses what it should have made durable
  double write_back_error = 0;  // of written bytes that the page cache shall forget; told once
  double read_flip = 0;         // a bit turned on its way from the disk
  double rest_flip = 0;         // a bit turned on the disk, after writes of this file
  std::uint64_t crash_at = 0;   // operation, 1 is the next; 0: never
  bool power = false;           // the crash also takes what is not synced
  std::uint64_t no_space_from = 0;   // writes fail from this operation on …
  std::uint64_t no_space_until = 0;  // … to before this one
};

// Numbers from a seed, fast enough to be drawn for every sector.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : next() % n; }
  bool chance(double p) { return p > 0 && static_cast<double>(next() >> 11) * 0x1p-53 < p; }

 private:
  std::uint64_t state_;
};

struct SimRange {
  std::uint64_t offset = 0, bytes = 0;
};

struct SimNode {
  std::vector<std::byte> now;      // what reads see
  std::vector<std::byte> durable;  // what the last sync left
  std::vector<SimRange> unsynced;
  std::vector<SimRange> lost;  // could not be written back: seen until the cache is dropped
};

// Any thread. The seed decides what happens to the n-th operation; which operation is the n-th is
// decided by the caller's threads, where there are several.
class SimDisk : public Disk {
 public:
  explicit SimDisk(std::uint64_t seed) : dice_(seed) {}

  std::unique_ptr<RawFile> create(const std::string& path) override;
  std::unique_ptr<RawFile> open(const std::string& path) override;
  bool exists(const std::string& path) override;
  void create_folder(const std::string&) override {}  // it has every folder
  void remove(const std::string& path) override;
  void rename(const std::string& from, const std::string& to) override;
  void sync_folder(const std::string& path) override;
  std::uint64_t free_bytes(const std::string&) override {
    const std::lock_guard lock(mutex_);
    return free_bytes_;
  }
  std::unique_ptr<DiskLock> lock(const std::string& path) override;

  // Operations are counted anew from here on.
  void set_faults(const SimFaults& faults);
  void set_free_bytes(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    free_bytes_ = bytes;
  }
  // A planted bug: syncs of files say yes and do nothing.
  void ignore_syncs(bool ignore) {
    const std::lock_guard lock(mutex_);
    ignore_syncs_ = ignore;
  }
  // Everything fails from now on, until restart().
  void crash();
  bool crashed() const {
    const std::lock_guard lock(mutex_);
    return crashed_;
  }
  // What is left is on the disk; faults are off.
  void restart();
  std::uint64_t operations() const {
    const std::lock_guard lock(mutex_);
    return operations_;
  }
  // How many bits have been turned and syncs have lost bytes: what may end in Corruption.
  int damage_count() const {
    const std::lock_guard lock(mutex_);
    return damage_count_;
  }
  // While no other thread uses the disk.
  SimNode& node(const std::string& path) { return *names_.at(path); }

 private:
  friend class SimFile;
  friend class SimMover;
  using Names = std::map<std::string, std::shared_ptr<SimNode>>;

  // All with the lock.
  bool begin_operation();  // false: the machine is down
  void name_operation(const std::string& path);
  void maybe_damage(SimNode& node);
  std::int64_t move(SimNode& node, const FilePiece& piece);
  void write(SimNode& node, const FilePiece& piece, std::uint64_t bytes);
  int sync(SimNode& node);
  int write_back(SimNode& node);
  void drop_cache(SimNode& node);
  void lose_unsynced(SimNode& node);
  void flip(std::byte& byte);

  mutable std::mutex mutex_;  // of all below, the files' bytes and their movers' pieces included
  Dice dice_;
  SimFaults faults_;
  std::uint64_t operations_ = 0;
  std::uint64_t free_bytes_ = ~std::uint64_t{0};
  bool ignore_syncs_ = false;
  bool crashed_ = false;
  int damage_count_ = 0;
  Names names_;
  std::vector<Names> durable_names_{{}};  // the last sync's, and after each change since
  std::map<std::string, std::weak_ptr<bool>> locks_;
};

}  // namespace outsize
