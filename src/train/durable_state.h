// The durable side of a run whose state does not live in RAM: its store, its scratch file, and how
// they are filled at the start.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "exec/executor.h"
#include "graph/program.h"
#include "optim/update_rule.h"
#include "storage/store.h"
#include "train/load_weights.h"

namespace outsize {

// A step that a ring store has in its log and not yet committed.
struct HalfStep {
  std::int64_t step = 0;
  PendingUpdates updates;
  int first_call = 0;  // the updates of calls before it are done
  std::string blob;    // the caller's, from seal()
};

class DurableState {
 public:
  // The store lies in `folder`/store; it is opened where there is one. Borrows program and plan.
  // `disk`: outlives the state; absent: this computer's. Throws InvalidArgument when it is another
  // model's or optimizer's, OutOfMemory when the disk has too little room, Io, Corruption.
  DurableState(const std::string& folder, const Program& program, const Plan& plan,
               std::int64_t scratch_bytes, std::uint64_t block_bytes,
               const StoreOptions& options = {}, Disk* disk = nullptr);

  // The layout of the store to go on from; absent: there is none.
  static std::optional<StoreScheme> scheme_of(const std::string& folder);
  // Gives back the space of a store that was never finished.
  static void remove_unfinished(const std::string& folder);

  const std::shared_ptr<DiskTiers>& tiers() const { return tiers_; }
  // Nothing has been committed: fill, then commit.
  bool fresh() const { return store_->step() < 0; }
  std::int64_t step() const { return store_->step(); }
  std::string blob() const;  // of the last commit

  // Writes weights as `produce` hands them out, parameter by parameter, and zeros for all other
  // state.
  void fill(const std::function<void(const WeightSink&)>& produce);
  // Takes over weights and optimizer state of a checkpoint: `bytes` of each as Plan::store has
  // them, without padding. It stays as it is. Throws as stream_checkpoint, Io.
  void import(const std::string& checkpoint, const std::vector<std::vector<std::int64_t>>& bytes);
  // Between seal and commit, also one that a crash has cut short.
  std::optional<HalfStep> half_step() const;
  // Copies what the plan keeps in RAM from the store to its places. In a half step that is the new
  // state of the groups that are done, and the old one of all others.
  void read_residents(char* arena);
  // Makes the step the one to go on from. Throws Io.
  void commit(std::int64_t step, std::string_view blob);
  // The same later, in a lane, within the executor's run of that number and no other: one that is
  // late with its own commit must not take this one. commit() is in place of it. Call it when the
  // last run but one is through.
  void hand_over(std::uint64_t run, std::int64_t step, std::string_view blob);
  void commit_handed_over(std::uint64_t run);  // Nothing where nothing was. Throws Io.
  // Ring, the log being whole: from here on a crash within the step is mended from the log. The
  // step is that of the updates. Throws Io.
  void seal(const PendingUpdates& updates, std::string_view blob);
  // The sealed step, with the blob of its seal. Throws Io.
  void commit_sealed();

 private:
  void check_layout(const StoreLayout& expected) const;
  void read_whole(const StorePart& part, char* memory);
  void write_commit(std::int64_t step, std::string_view blob);

  const Program& program_;
  const Plan& plan_;
  std::unique_ptr<Disk> own_disk_;  // absent where the caller gave one
  Disk& disk_;
  std::unique_ptr<StateStore> store_;
  std::shared_ptr<DiskTiers> tiers_;
  std::string sealed_blob_;  // kept, so that its memory is taken once
  struct HandedOver {
    std::int64_t step = -1;  // none
    std::string blob;
  };
  std::array<HandedOver, 2> handed_over_;  // of runs, the last two in turn
};

}  // namespace outsize
