// Helpers of the format tests.
#include "testing.h"

#include <algorithm>
#include <cstring>

namespace outsize::testing_formats {
namespace {

void mutate_once(std::string& bytes, const Rng& rng, std::uint64_t counter) {
  const auto pick = [&](std::uint64_t n, std::uint64_t k) { return rng.below(counter + k, n); };
  const std::size_t place = bytes.empty() ? 0 : pick(bytes.size(), 1);
  const std::size_t run = std::min<std::size_t>(1 + pick(16, 2), bytes.size() - place);
  switch (pick(7, 3)) {
    case 0:
      if (!bytes.empty()) bytes[place] = static_cast<char>(bytes[place] ^ (1 << pick(8, 4)));
      break;
    case 1:
      if (!bytes.empty()) bytes[place] = static_cast<char>(pick(256, 4));
      break;
    case 2:
      bytes.resize(place);
      break;
    case 3:
      bytes.insert(place, 1 + pick(16, 4), static_cast<char>(pick(256, 5)));
      break;
    case 4:
      bytes.erase(place, run);
      break;
    case 5:
      bytes.insert(place, bytes.substr(place, run));
      break;
    default: {
      constexpr std::uint64_t kExtremes[] = {0,
                                             1,
                                             0x7f,
                                             0xffff,
                                             0x7fffffff,
                                             0xffffffff,
                                             0x100000000,
                                             std::uint64_t{1} << 40,
                                             std::uint64_t{1} << 62,
                                             0x7fffffffffffffff,
                                             0x8000000000000000,
                                             0xffffffffffffffff};
      const std::uint64_t value = kExtremes[pick(std::size(kExtremes), 4)];
      const std::size_t width = std::min<std::size_t>(pick(2, 5) ? 8 : 4, bytes.size() - place);
      if (width > 0) std::memcpy(&bytes[place], &value, width);
      break;
    }
  }
}

}  // namespace

std::string mutated(std::string bytes, std::uint64_t seed) {
  const Rng rng(seed, 0x6d757461);
  const std::uint64_t times = 1 + rng.below(0, 3);
  for (std::uint64_t i = 0; i < times; ++i) mutate_once(bytes, rng, 1 + 16 * i);
  return bytes;
}

}  // namespace outsize::testing_formats
