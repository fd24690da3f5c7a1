// Counter-based random numbers: the value is a function of (seed, stream, counter) alone, so any
// part of a run can be redone or reordered with the same bits. Philox-4x32-10 (Salmon et al., SC
// 2011).
#pragma once

#include <array>
#include <cstdint>

namespace outsize {

// Four independent 32-bit words for one counter value.
std::array<std::uint32_t, 4> philox(std::uint64_t seed, std::uint64_t stream,
                                    std::uint64_t counter);

// Stateless by design: position is explicit and part of the resumable state.
class Rng {
 public:
  Rng(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}

  std::uint64_t bits(std::uint64_t counter) const;
  // Uniform in [0, 1), 53 bits.
  double uniform(std::uint64_t counter) const;
  // Standard normal (Box–Muller on one counter).
  double normal(std::uint64_t counter) const;
  // Uniform integer in [0, n), n > 0; bias below n / 2^64.
  std::uint64_t below(std::uint64_t counter, std::uint64_t n) const;

 private:
  std::uint64_t seed_;
  std::uint64_t stream_;
};

}  // namespace outsize
