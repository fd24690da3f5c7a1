// How the attention ops launch vector kernels: tasks over threads, and the tables of functions of
// the instruction sets.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "core/isa.h"
#include "core/parallel.h"

namespace outsize {

// Runs independent tasks of unequal length on all threads, each with a scratch area of its own:
// calls body(task, slot) for every task in [0, tasks), earlier tasks first, slot in [0, slots).
// Which slot a task gets is chance; what it computes must not depend on that.
template <class Body>
void run_tasks(std::int64_t tasks, std::int64_t slots, Body&& body) {
  std::atomic<std::int64_t> next = 0;
  parallel_for(slots, 1, [&](std::int64_t slot, std::int64_t) {
    for (std::int64_t task = next++; task < tasks; task = next++) body(task, slot);
  });
}

// One table of functions per instruction set.
template <class Table>
struct IsaTables {
  const Table *baseline, *avx2, *avx512, *amx;

  const Table& active() const {
    return active_isa() == Isa::amx ? *amx : *select_isa(baseline, avx2, avx512);
  }
  // The most that `need` asks of any table this processor runs: a kernel's workspace is booked
  // once, and must do for whichever is active at launch.
  template <class Need>
  std::int64_t largest(Need&& need) const {
    std::int64_t most = need(*baseline);
    if (best_isa() >= Isa::avx2) most = std::max(most, need(*avx2));
    if (best_isa() >= Isa::avx512) most = std::max(most, need(*avx512));
    if (best_isa() >= Isa::amx) most = std::max(most, need(*amx));
    return most;
  }
};

}  // namespace outsize
