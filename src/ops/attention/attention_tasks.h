// Runs independent tasks of unequal length on all threads, each with a scratch area of its own.
// Which area a task gets is chance; what it computes must not depend on that.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/parallel.h"

namespace outsize {

// body(task, slot) for every task in [0, tasks), earlier tasks first; slot in [0, slots).
template <class Body>
void run_tasks(std::int64_t tasks, std::int64_t slots, Body&& body) {
  std::atomic<std::int64_t> next = 0;
  parallel_for(slots, 1, [&](std::int64_t slot, std::int64_t) {
    for (std::int64_t task = next++; task < tasks; task = next++) body(task, slot);
  });
}

}  // namespace outsize
