// Offsets within an arena that is not there yet: first fit over the gaps, growing at the end. For
// laying out memory by lifetime at plan time.
#pragma once

#include <cstdint>
#include <map>

namespace outsize {

class GapAllocator {
 public:
  static constexpr std::int64_t kAlignment = 64;
  // Bytes rounded up to the alignment.
  static std::int64_t aligned(std::int64_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

  // The lowest offset with room for `bytes`, a multiple of `alignment`, which is one of kAlignment.
  std::int64_t take(std::int64_t bytes, std::int64_t alignment = kAlignment);
  // Returns what take(bytes) gave.
  void give(std::int64_t offset, std::int64_t bytes);
  // Bytes the arena must have: the highest end ever taken.
  std::int64_t end() const { return end_; }

 private:
  std::map<std::int64_t, std::int64_t> gaps_;  // offset -> bytes, disjoint and not touching
  std::int64_t end_ = 0;
};

}  // namespace outsize
