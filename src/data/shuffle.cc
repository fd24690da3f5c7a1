#include "data/shuffle.h"

#include <algorithm>
#include <bit>

#include "core/error.h"
#include "core/rng.h"

namespace outsize {
namespace {

constexpr int kRounds = 8;
// Over fewer bits the rounds leave an order that shows (chi-squared of n = 7 over 3 bits); small n
// walk through this domain instead.
constexpr int kMinBits = 8;
constexpr std::uint64_t kShuffleStream =
    0x73687566;  // keeps these random numbers apart from others

// Finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): every input bit moves every output
// bit.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

Permutation::Permutation(std::uint64_t n, std::uint64_t seed, std::uint64_t epoch)
    : n_(n), key_(Rng(seed, kShuffleStream).bits(epoch)) {
  const int bits = std::max(kMinBits, static_cast<int>(std::bit_width(n - (n > 0))));
  left_bits_ = bits / 2;
  right_bits_ = bits - left_bits_;
}

std::uint64_t Permutation::operator()(std::uint64_t i) const {
  ensure(i < n_, "[data] place {} of {} asked", i, n_);
  const std::uint64_t left_mask = (std::uint64_t{1} << left_bits_) - 1;
  const std::uint64_t right_mask = (std::uint64_t{1} << right_bits_) - 1;
  do {
    std::uint64_t left = i >> right_bits_;
    std::uint64_t right = i & right_mask;
    for (int round = 0; round < kRounds; round += 2) {
      left ^= mix(key_ + mix(right * kRounds + static_cast<std::uint64_t>(round))) & left_mask;
      right ^= mix(key_ + mix(left * kRounds + static_cast<std::uint64_t>(round) + 1)) & right_mask;
    }
    i = left << right_bits_ | right;
  } while (i >= n_);
  return i;
}

}  // namespace outsize
