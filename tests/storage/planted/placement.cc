// In place of the library's placement.cc.
#include "storage/placement.h"

#include "storage/aligned_buffer.h"
#include "storage/planted/plants.h"

namespace outsize {

bool planted_slot_reuse = false;
bool planted_small_ring_step = false;

std::uint64_t first_place(const Geometry& geometry, int g) {
  const Geometry::Group& group = geometry.groups[static_cast<std::size_t>(g)];
  return geometry.scheme == StoreScheme::ring ? group.offset : 2 * group.offset;
}

std::uint64_t next_place(const Geometry& geometry, int g, std::uint64_t place) {
  if (planted_slot_reuse) return place;
  if (geometry.scheme == StoreScheme::ring) {
    const std::uint64_t missing = planted_small_ring_step ? kPageBytes : 0;
    return (place + geometry.state_bytes + missing) % geometry.data_bytes;
  }
  const std::uint64_t first = first_place(geometry, g);
  return place == first ? first + geometry.groups[static_cast<std::size_t>(g)].bytes : first;
}

bool places_are_possible(const Geometry&, std::span<const std::uint64_t>) {
  return true;
}

}  // namespace outsize
