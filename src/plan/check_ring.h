// The part of the plan checker that is about the ring layout: a crash at any instant must find
// either the state before a step or all that is needed to finish it (docs/DURABILITY.md).
#pragma once

#include "plan/plan.h"

namespace outsize {

// For plans whose store has a log; others must not seal or commit. Throws Internal naming task and
// buffer when: a gradient is not in the log, whole and finished, before it is sealed; the log is
// read before that, or filled again before the step is committed; a group is written before the log
// is sealed, or out of order, or published before all of it is written; a step ends with a
// log that is not sealed, or with some of its groups published.
// Order on the disk's writer is the plan's order; all else follows from what tasks read and write,
// which check_plan proves.
void check_ring(const Plan& plan);

}  // namespace outsize
