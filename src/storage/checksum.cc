#include "storage/checksum.h"

#include <xxhash.h>

namespace outsize {

std::uint64_t checksum(const void* data, std::size_t bytes) {
  return XXH3_64bits(data, bytes);
}

}  // namespace outsize
