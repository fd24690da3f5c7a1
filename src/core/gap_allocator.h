// Offsets within an arena that is not there yet: first fit over the gaps, growing at the end. For
// laying out memory by lifetime at plan time.
#pragma once

#include <cstdint>
#include <vector>

namespace outsize {

class GapAllocator {
 public:
  static constexpr std::int64_t kAlignment = 64;
  // Bytes rounded up to the alignment.
  static std::int64_t aligned(std::int64_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

  // The lowest offset with room for `bytes`, a multiple of `alignment`: a power of two, at least
  // kAlignment.
  std::int64_t take(std::int64_t bytes, std::int64_t alignment = kAlignment);
  // The highest offset with room below end(); otherwise as take.
  std::int64_t take_high(std::int64_t bytes, std::int64_t alignment = kAlignment);
  // Makes the arena at least so large.
  void extend(std::int64_t end);
  // Returns what take(bytes) gave.
  void give(std::int64_t offset, std::int64_t bytes);
  // Bytes the arena must have: the highest end ever taken.
  std::int64_t end() const { return end_; }

 private:
  struct Gap {
    std::int64_t begin = 0, end = 0;
  };
  // [offset, offset + bytes) out of a gap that holds it.
  std::int64_t cut(std::vector<Gap>::iterator gap, std::int64_t offset, std::int64_t bytes);

  std::vector<Gap> gaps_;  // in order, disjoint and not touching
  std::int64_t end_ = 0;
};

}  // namespace outsize
