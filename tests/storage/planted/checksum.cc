// In place of the library's checksum.cc.
#include "storage/checksum.h"

#include <xxhash.h>

#include "storage/planted/plants.h"

namespace outsize {

bool planted_no_checksum = false;

std::uint64_t checksum(const void* data, std::size_t bytes) {
  return planted_no_checksum ? 0 : XXH3_64bits(data, bytes);
}

}  // namespace outsize
