// The durable state of a run: groups of extents of which every step writes new copies, and one
// commit record per step that makes them the state. docs/DURABILITY.md has the fault model, the
// promises and the format. What the bytes mean is the caller's business.
//
// A step:   read and compute; ring: write the log, seal_log;
//           for each group to update: write all of its extents, wait, finish_group;
//           commit.
// In the ring a step takes all groups in order, and after open() a step may be half done: see
// pending().
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "storage/async_file.h"
#include "storage/kill_point.h"
#include "storage/layout.h"
#include "storage/record.h"

namespace outsize {

// In place of an extent's number: that of the group's first extent of the log; the next ones count
// down from there.
constexpr int kLogExtent = -1;
constexpr int log_extent(int index) {
  return kLogExtent - index;
}
constexpr bool is_log(int extent) {
  return extent <= kLogExtent;
}
constexpr std::size_t log_index(int extent) {
  return static_cast<std::size_t>(kLogExtent - extent);
}

// A range of an extent. Begins at a multiple of the layout's block_bytes and ends at one, or at the
// end of the extent: what is checked by one checksum is moved as one.
struct StorePart {
  int group = -1;  // none: the trouble was with a record
  int extent = 0;
  std::uint64_t offset = 0;  // bytes within the extent
  std::uint64_t bytes = 0;
};

struct [[nodiscard]] StoreStatus {
  IoStatus io;
  StorePart part;  // where; for corrupt, the damaged block
  bool ok() const { return io.ok(); }
  IoCode code() const { return io.code; }
};

// Names a request until it is waited for, once.
struct StoreTicket {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
};

struct StoreOptions {
  QueueOptions queue;  // requests: also those of the store, both directions together
  std::function<void(KillPoint)> on_kill_point;  // tests only; must not throw
};

// A step whose gradients are durable and whose updates are not all done.
struct PendingStep {
  std::int64_t step = 0;
  std::span<const std::byte> blob;  // as given to seal_log; valid until the next commit
  int first_group = 0;              // this one and all after it remain to be updated
};

struct StoreDamage {
  StorePart part;
  std::uint64_t file_offset = 0;  // bytes
};

// What verify() found of one commit record.
struct StepReport {
  bool record_valid = false;
  std::int64_t step = 0;
  bool newest = false;              // open() takes this one
  bool resumable = false;           // record valid, no damage
  std::vector<StoreDamage> damage;  // for the older record also: what a newer step has overwritten
};

class StateStore {
 public:
  // In an existing folder that holds no store. Takes all space at once: OutOfMemory when the disk
  // has less free. There is no store until the first commit, for which every group is written.
  // Throws InvalidArgument (layout, store exists), Io (lock held by another process, disk).
  static std::unique_ptr<StateStore> create(Disk& disk, const std::string& folder,
                                            const StoreLayout& layout, const StoreOptions& options);
  static bool exists(Disk& disk, const std::string& folder);
  // Of a store that exists, also while another process has it open. Throws as open().
  static StoreLayout layout_of(Disk& disk, const std::string& folder);
  // Gives back the space of a creation that never came to its first commit. Throws Io.
  static void remove_unfinished(Disk& disk, const std::string& folder);
  // Recovers; writes nothing. Throws InvalidArgument (no store), Io, Corruption, Unsupported.
  static std::unique_ptr<StateStore> open(Disk& disk, const std::string& folder,
                                          const StoreOptions& options);
  // Waits for what is in flight. The disk must outlive the store.
  ~StateStore();

  const StoreLayout& layout() const { return layout_; }
  const std::string& path() const { return file_->path(); }
  // Of the last commit; before the first: −1 and nothing. Valid until the next commit.
  std::int64_t step() const { return step_; }
  std::span<const std::byte> blob() const { return {blob_.data(), blob_.size()}; }
  // Ring: from seal_log to commit, across open().
  std::optional<PendingStep> pending() const;

  // Any thread; memory aligned to kPageBytes and untouched until waited for. read gives the newest
  // finished copy of a group and verifies it in wait(). A group is not read while its next but one
  // copy is written.
  StoreTicket read(const StorePart& part, void* memory);
  StoreTicket write(const StorePart& part, const void* memory);
  StoreStatus wait(StoreTicket ticket);
  bool register_memory(std::span<std::byte> memory) { return file_->register_memory(memory); }

  // One thread at a time. Each may be repeated after no_space and io; after failed, open again.
  // The group's new copy is whole: from here on it is what read gives. Ring: makes it durable.
  StoreStatus finish_group(int group);
  // Ring: the whole log has been written; makes it durable. At most blob_bytes_max bytes.
  StoreStatus seal_log(std::int64_t step, std::span<const std::byte> blob);
  // Makes the step durable: when it returns ok, open() comes back to here. Step above the last.
  StoreStatus commit(std::int64_t step, std::span<const std::byte> blob);

  // Reads everything; one entry per commit record, newest first. Throws Io. Between steps only.
  std::vector<StepReport> verify();
  // The typed Error for a status that is not ok, naming file, group, extent and byte range.
  Error error(const StoreStatus& status) const;

 private:
  enum class Phase : std::uint8_t { idle, writing, finished };
  struct Request {
    StorePart part;
    std::byte* memory = nullptr;
    BlockRange blocks;
    std::uint64_t place = 0;
    IoTicket tickets[2];
    int ticket_count = 0;
    IoCode refused = IoCode::ok;
    bool write = false;
    bool used = false;
    std::uint32_t generation = 1;
  };
  struct FileRange {
    std::uint64_t offset = 0, bytes = 0;
  };

  StateStore(Disk& disk, std::string folder, std::unique_ptr<DiskLock> lock, StoreLayout layout,
             Geometry geometry, std::unique_ptr<AsyncFile> file, const StoreOptions& options);
  void kill_point(KillPoint point) const;

  // store_io.cc
  StoreTicket start(const StorePart& part, std::byte* memory, bool write);
  IoCode locate(const StorePart& part, BlockRange& blocks) const;
  IoCode begin_read(const StorePart& part, std::uint64_t& place) const;
  IoCode begin_write(const StorePart& part, const BlockRange& blocks, std::uint64_t& place);
  void put_sums(const Request& request);
  void submit(Request& request);
  StoreStatus end_write(const Request& request, const IoStatus& io);
  StoreStatus verify_read(const Request& request) const;
  bool a_sync_failed() const;
  const std::uint64_t* expected_sum(const Request& request, std::uint64_t block) const;
  const Geometry::Extent& extent_of(const StorePart& part) const;
  int ranges_of(const StorePart& part, std::uint64_t place, FileRange (&ranges)[2]) const;
  StorePart part_of_block(const Request& request, std::uint64_t block) const;

  // store_commit.cc
  bool is_whole(const BlockRange& blocks) const;
  StoreStatus sync_now();
  // With no part; what failed for good is remembered.
  StoreStatus heeded(const IoStatus& io);
  StoreStatus write_record(std::uint64_t at, const RecordHead& head, std::uint64_t payload_bytes,
                           KillPoint mid, std::uint64_t* head_sum = nullptr);
  StoreStatus write_progress(int group);
  std::uint64_t fill_commit_payload(std::span<const std::byte> blob);
  IoCode check_commit(std::int64_t step, std::size_t blob_bytes) const;
  StoreStatus publish();
  void adopt_commit(std::int64_t step, std::span<const std::byte> blob);

  // store_recover.cc
  bool read_record(std::uint64_t at, std::uint64_t bytes, RecordKind kind, RecordHead& head);
  bool read_commit(int which, RecordHead& head);
  void take_commit(std::vector<std::uint64_t>& places, std::vector<std::uint64_t>& sums) const;
  void recover();
  bool recover_log();
  bool recover_progress(int group);
  void check_copy(int group, int extent, std::uint64_t place, const std::uint64_t* sums,
                  std::vector<StoreDamage>& damage);
  void verify_state(const std::vector<std::uint64_t>& places,
                    const std::vector<std::uint64_t>& sums, bool newest,
                    std::vector<StoreDamage>& damage);

  Disk& disk_;
  std::string folder_;
  std::unique_ptr<DiskLock> lock_;
  StoreLayout layout_;
  Geometry geometry_;
  StoreOptions options_;
  std::unique_ptr<AsyncFile> file_;
  AlignedBuffer record_;  // of the thread that finishes and commits

  mutable std::mutex sync_mutex_;  // held while one is at work, until its end is known; taken first
  mutable std::mutex mutex_;       // of all below
  bool failed_ = false;
  bool committing_ = false;
  // Of the last commit: sequence 0 before the first.
  std::uint64_t sequence_ = 0;
  std::int64_t step_ = -1;
  std::vector<std::byte> blob_;
  std::vector<std::uint64_t> places_;  // per group
  std::vector<std::uint64_t> sums_;    // per block
  // Of the step in progress.
  std::vector<Phase> phases_;               // per group
  std::vector<std::uint64_t> next_places_;  // per group
  std::vector<std::uint64_t> next_sums_;    // per block, the log's included
  std::vector<std::uint8_t> written_;       // per block, the log's included
  std::vector<int> writes_in_flight_;       // per group
  // Ring, of the log.
  bool sealed_ = false;
  int cursor_ = 0;  // groups before it are finished
  std::int64_t log_step_ = 0;
  std::uint64_t log_sum_ = 0;  // head_sum of its record
  std::vector<std::byte> log_blob_;

  std::vector<Request> requests_;
  std::vector<std::uint32_t> free_requests_;
};

}  // namespace outsize
