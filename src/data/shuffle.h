// A random order of n things of which any place can be asked at once, without a list of them: a
// Feistel network over a power of two, walked until it lands below n (Black and Rogaway,
// "Ciphers with arbitrary finite domains", CT-RSA 2002).
#pragma once

#include <cstdint>

namespace outsize {

class Permutation {
 public:
  // One order for each (seed, epoch). n may be 0 (nothing may then be asked).
  Permutation(std::uint64_t n, std::uint64_t seed, std::uint64_t epoch);

  std::uint64_t size() const { return n_; }
  // Place of the i-th; i < n. Under two passes of the network on average from n = 128 on.
  std::uint64_t operator()(std::uint64_t i) const;

 private:
  std::uint64_t n_;
  std::uint64_t key_;
  int left_bits_;
  int right_bits_;
};

}  // namespace outsize
