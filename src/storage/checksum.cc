#include "storage/checksum.h"

#include "core/xxh3.h"

namespace outsize {

std::uint64_t checksum(const void* data, std::size_t bytes) {
  return XXH3_64bits(data, bytes);
}

}  // namespace outsize
