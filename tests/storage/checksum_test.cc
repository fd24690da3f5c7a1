// Sums lie on disks: whichever vectors compute them, they are the same.
#include "storage/checksum.h"

#include <gtest/gtest.h>
#include <xxhash.h>  // the plain functions

#include <vector>

namespace outsize {
namespace {

TEST(Checksum, IsTheFormatsForNothing) {
  EXPECT_EQ(checksum(nullptr, 0), 0x2d06800538d394c2u);  // XXH3-64, seed 0
}

TEST(Checksum, IsThatOfThePlainFunctionAtEveryLength) {
  constexpr std::size_t kLong = (1 << 20) + 4099;
  std::vector<unsigned char> bytes(kLong);
  unsigned state = 1;
  for (unsigned char& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<unsigned char>(state >> 24);
  }
  for (std::size_t length = 0; length < 2100; ++length)
    EXPECT_EQ(checksum(bytes.data(), length), XXH3_64bits(bytes.data(), length)) << length;
  for (const std::size_t length : {std::size_t{4096}, std::size_t{1} << 20, kLong})
    EXPECT_EQ(checksum(bytes.data(), length), XXH3_64bits(bytes.data(), length)) << length;
}

}  // namespace
}  // namespace outsize
