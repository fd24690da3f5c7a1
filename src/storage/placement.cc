#include "storage/placement.h"

#include "storage/aligned_buffer.h"

namespace outsize {

std::uint64_t first_place(const Geometry& geometry, int g) {
  const Geometry::Group& group = geometry.groups[static_cast<std::size_t>(g)];
  return geometry.scheme == StoreScheme::ring ? group.offset : 2 * group.offset;
}

std::uint64_t next_place(const Geometry& geometry, int g, std::uint64_t place) {
  if (geometry.scheme == StoreScheme::ring)
    return (place + geometry.state_bytes) % geometry.data_bytes;  // modulo, minus one spare
  const std::uint64_t first = first_place(geometry, g);
  return place == first ? first + geometry.groups[static_cast<std::size_t>(g)].bytes : first;
}

bool places_are_possible(const Geometry& geometry, std::span<const std::uint64_t> places) {
  const bool ring = geometry.scheme == StoreScheme::ring;
  if (ring && (places[0] >= geometry.data_bytes || places[0] % kPageBytes != 0)) return false;
  for (std::size_t g = 0; g < places.size(); ++g) {
    const Geometry::Group& group = geometry.groups[g];
    const std::uint64_t first = first_place(geometry, static_cast<int>(g));
    const bool possible = ring ? places[g] == (places[0] + group.offset) % geometry.data_bytes
                               : places[g] == first || places[g] == first + group.bytes;
    if (!possible) return false;
  }
  return true;
}

}  // namespace outsize
