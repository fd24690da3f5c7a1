// Programs that only run forward, over one set of weights in one arena: evaluation and generation.
// Weights that do not fit the budget are converted once, into a file that has no name, and read for
// each use from then on.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "exec/executor.h"
#include "machine/machine.h"
#include "models/model.h"
#include "plan/forward_plans.h"
#include "storage/disk.h"
#include "weights/weight_reader.h"

namespace outsize {

struct ForwardOptions {
  std::int64_t budget_bytes = 0;     // of the arena; 0: none
  std::string folder = {};           // for weights that do not fit; empty: they must
  const Machine* machine = nullptr;  // foretells; needed only meanwhile
  Disk* disk = nullptr;              // outlives the engine; absent: this computer's
};

class ForwardEngine {
 public:
  // The programs share their parameters (Generator says which ones do). `small`: programs of the
  // same results that take the place of all of them where not everything stays in RAM; may be
  // empty. Throws OutOfMemory, before memory is taken, when no plan fits the budget, naming one
  // that would; OutOfMemory also when the folder's disk has too little room, Io.
  ForwardEngine(std::vector<Program> programs, const ForwardOptions& options,
                std::vector<Program> small = {});

  void load(const Model& model, const WeightReader& reader);
  Executor& executor(size_t program = 0) { return *executors_[program]; }
  const Executor& executor(size_t program = 0) const { return *executors_[program]; }

  std::int64_t arena_bytes() const { return arena_bytes_; }
  std::int64_t weight_bytes() const;
  // Of the weights, and how many bytes one run reads: a table that is used twice counts twice.
  std::int64_t streamed_bytes() const { return executor().plan().scratch_bytes; }
  std::int64_t read_bytes() const;
  // How long the reads of one run take with nothing beside them, measured. Between runs only.
  double measure_reads() const;
  // Foretold for one run; absent: the options had no machine.
  std::optional<double> seconds(size_t program = 0) const;

 private:
  ForwardPlans plan(const ForwardOptions& options, bool may_stream);
  void find_places();
  void send(int parameter);

  std::vector<Program> programs_;
  std::vector<std::unique_ptr<CompiledProgram>> compiled_;
  std::unique_ptr<Disk> own_disk_;    // absent where the caller gave one
  std::shared_ptr<DiskTiers> tiers_;  // absent: everything stays in RAM
  std::int64_t arena_bytes_ = 0;
  std::shared_ptr<HostArena> arena_;
  std::vector<std::unique_ptr<Executor>> executors_;
  std::vector<double> seconds_;
  // Per parameter, of the first program: where it lies when it is used first, and how it gets from
  // there to its place on disk; no moves where it stays.
  std::vector<int> places_;
  std::vector<std::vector<Move>> moves_;
};

}  // namespace outsize
