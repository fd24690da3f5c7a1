// Which tasks must wait for which, from what they read and write.
#pragma once

#include "plan/plan.h"

namespace outsize {

// Fills Task::after for placed buffers: every use of bytes waits for the uses before it that it
// conflicts with, on other resources; order on one resource is implied. Where the plan carries,
// Task::after_previous as well: for the writes of the run before. O(n log n).
void add_dependencies(Plan& plan);

}  // namespace outsize
