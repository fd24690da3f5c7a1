// What a plan must bear without a change of any bit: hooks into the executors of an engine.
#pragma once

#include <cstdint>

#include "train/engine.h"

namespace outsize::train_test {

// No two tasks at one time: each waits for all that the plan lists before it.
void allow_no_overlap(TrainingEngine& engine);

// Some tasks of every lane sleep before they start, so that whatever is not ordered happens in
// another order.
void delay_lanes(TrainingEngine& engine, std::uint64_t seed);

// The bytes of a buffer become NaNs when its last use has ended, while other lanes go on.
void poison_the_dead(TrainingEngine& engine);
// Between steps: all of the arena becomes NaNs that no plan says to hold a meaning then.
void poison_the_free(TrainingEngine& engine);

}  // namespace outsize::train_test
