// The plan checker: proves a plan without trusting the planner, whose code it does not share.
#pragma once

#include "plan/plan.h"

namespace outsize {

// Throws Internal naming task and buffer when: a task reads bytes that nothing wrote, or that
// another buffer has overwritten since; a buffer is taken over before its last use is certain to
// have ended; an extent is misaligned or leaves the arena; dependencies have a cycle; bytes are
// written and never used; a crash could leave neither the old state nor the new one
// (plan/check_ring.h). O(n log n) in tasks and buffers.
void check_plan(const Plan& plan);

}  // namespace outsize
