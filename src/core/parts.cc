#include "core/parts.h"

namespace outsize {
namespace {

std::int64_t cost_of(std::span<const std::int64_t> sizes, std::int64_t each, std::int64_t left) {
  std::int64_t cost = 0;
  while (left > 0) {
    const std::int64_t size = sizes[next_part(sizes, each, left)];
    cost += size + each;
    left -= size;
  }
  return cost;
}

}  // namespace

size_t next_part(std::span<const std::int64_t> sizes, std::int64_t each, std::int64_t left) {
  size_t part = 0;
  while (part + 1 < sizes.size() && sizes[part] > left) ++part;
  if (part == 0 || sizes[part] >= left) return part;
  return sizes[part - 1] <= sizes[part] + cost_of(sizes, each, left - sizes[part]) ? part - 1
                                                                                   : part;
}

}  // namespace outsize
