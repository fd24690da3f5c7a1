// Where the next copy of a group goes: the one thing in which the two layouts differ.
#pragma once

#include <cstdint>
#include <span>

#include "storage/layout.h"

namespace outsize {

// Place of group g's first copy, in bytes from the start of the data region.
std::uint64_t first_place(const Geometry& geometry, int g);

// Place of the copy after the one at `place`. Two slots: the other one. Ring: one spare before it,
// which is where the new copy of the group before ends. Never overlaps the copy at `place`; in the
// ring it may overlap the old copy of the group before, and only that of those still needed.
std::uint64_t next_place(const Geometry& geometry, int g, std::uint64_t place);

// Whether these may be the committed places of all groups.
bool places_are_possible(const Geometry& geometry, std::span<const std::uint64_t> places);

}  // namespace outsize
