// Bugs that are linked in instead of the right functions. All off: the library's behaviour.
#pragma once

namespace outsize {

extern bool planted_no_checksum;      // every checksum is 0
extern bool planted_slot_reuse;       // a new copy goes over the committed one
extern bool planted_small_ring_step;  // the ring's spare is taken for smaller than it is

}  // namespace outsize
