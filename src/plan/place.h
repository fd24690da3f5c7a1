// Gives every buffer of a plan its place in the arena, by lifetime.
#pragma once

#include "plan/plan.h"

namespace outsize {

// Persistent buffers first, then the others in the order the schedule first touches them, each in
// the lowest gap that holds it; a buffer's bytes are free again after the last task that names it.
// Sets extents, arena_bytes and peak_bytes_by_kind. O(n log n) but for the gaps it walks.
void place_buffers(Plan& plan);

}  // namespace outsize
