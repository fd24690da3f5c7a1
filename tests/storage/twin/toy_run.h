// A training run small enough to be done ten thousand times: state that evolves by a fixed rule, in
// a real state store on any Disk. It opens or creates the store, trains to the last step and gives
// back the state, so that runs with and without accidents can be compared bit by bit.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "storage/store.h"

namespace outsize {

struct ToyOptions {
  StoreScheme scheme = StoreScheme::two_slots;
  std::int64_t steps = 6;
  int scale = 1;  // times the size of every extent
  std::function<void(KillPoint)> on_kill_point;
  std::function<void(std::int64_t)> on_commit;  // this step is acknowledged as durable
};

struct ToyState {
  std::vector<std::vector<std::uint64_t>> groups;  // words
  std::uint64_t chain = 0;                         // of all digests so far: what a blob carries
  std::int64_t step = 0;
  bool operator==(const ToyState&) const = default;
};

StoreLayout toy_layout(const ToyOptions& options);

// The run without a store.
ToyState toy_expected(const ToyOptions& options);

// Throws Error as the store does: Io for what a new start may cure, Corruption for damage.
// InvalidArgument is a bug. What the store says is retried where docs/DURABILITY.md allows it.
ToyState run_toy(Disk& disk, const std::string& folder, const ToyOptions& options);

}  // namespace outsize
