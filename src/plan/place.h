// Gives every buffer of a plan its place in its tier, by lifetime.
#pragma once

#include "plan/plan.h"

namespace outsize {

// Persistent buffers first, then the others in the order the schedule first touches them, each in
// the lowest gap that holds it; a buffer's bytes are free again after the last task that names it,
// and after task hold[buffer] where `hold` is not empty. Of a plan that carries, what is held until
// the end lies as high as it can where that costs nothing: the next run, which fills the arena from
// below, then leaves it in peace for longest. What lies in store and log has its place already.
// Sets extents, arena_bytes, scratch_bytes and peak_bytes_by_kind (of RAM). O(n log n) but for the
// gaps it walks.
void place_buffers(Plan& plan, const std::vector<int>& hold = {});

}  // namespace outsize
