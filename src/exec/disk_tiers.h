// The tiers of a plan that lie on disk, and the moves between them and RAM. What comes back from
// scratch is checked against what went out, as the store checks its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "storage/async_file.h"
#include "storage/store.h"

namespace outsize {

// The store's layout that a plan's items ask for: a group per call that owns parameters, in call
// order; an extent per item, in parameter order. A plan with a log asks for the ring; other knobs
// do not change it.
StoreLayout store_layout(const Plan& plan, std::uint64_t identity, std::uint64_t block_bytes);

// Where an item lies in it. Index as Plan::store.
std::vector<std::vector<StorePart>> store_parts(const Plan& plan);

// The call whose parameters are the store's group; behind the last group: behind the last call that
// has one.
int call_of_group(const Plan& plan, int group);

// Some bytes of a move.
struct MovePart {
  const Move* move = nullptr;
  std::int64_t first = 0, bytes = 0;  // of the move's
};

class DiskTiers {
 public:
  // The scratch file is made in `folder`, which exists, and taken in full at once; it has no name
  // for long, so it goes with the process whatever happens. Throws Io, OutOfMemory when the disk
  // has less room. `store` may be null when the plan has none; it and the disk must outlive this.
  DiskTiers(Disk& disk, const std::string& folder, std::int64_t scratch_bytes, StateStore* store);
  DiskTiers(const DiskTiers&) = delete;
  DiskTiers& operator=(const DiskTiers&) = delete;

  // Before the first run: learns a plan that may run here. Allocates.
  void prepare(const Plan& plan);
  // Runs one read, write or publish task of a prepared plan; from one thread per direction.
  // `arena`: where the plan's RAM begins. Throws Io, Corruption naming file and range.
  void run(const Plan& plan, const Task& task, char* arena);

  StateStore* store() { return store_; }

 private:
  struct Place {  // of an item of the store or its log
    std::int64_t offset = 0;
    StorePart part;
  };

  void run_store(const Plan& plan, const Task& task, char* arena);
  void run_scratch(const Plan& plan, const Task& task, char* arena);
  IoTicket start_scratch(const Plan& plan, const MovePart& part, bool reading, char* arena);
  bool came_back_whole(const Plan& plan, const MovePart& part, const char* arena);
  // Of the part of a buffer in scratch that begins at `first`.
  std::uint64_t& sum_at(const Extent& extent, std::int64_t first);
  // Of a piece of a buffer that lies in the store or its log.
  StorePart part_at(const Extent& extent, std::int64_t offset, std::int64_t bytes) const;

  std::string scratch_path_;
  std::unique_ptr<AsyncFile> scratch_;
  StateStore* store_;
  std::vector<Place> places_, log_;  // by offset
  std::vector<int> group_of_call_;   // -1: owns nothing
  std::vector<std::uint64_t> sums_;  // of scratch, per page where a part of a buffer begins
};

}  // namespace outsize
