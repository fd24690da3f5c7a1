#include "exec/host_arena.h"

#include <sys/mman.h>

#include <algorithm>

#include "core/error.h"

namespace outsize {

HostArena::HostArena(std::int64_t bytes) : bytes_(bytes) {
  constexpr std::int64_t kHugePage = 2 << 20;
  mapped_bytes_ = std::max<std::int64_t>((bytes + kHugePage - 1) / kHugePage, 1) * kHugePage;
  void* memory = mmap(nullptr, static_cast<size_t>(mapped_bytes_), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    fail(ErrorKind::OutOfMemory,
         "[executor] the host arena cannot be mapped; asked {} bytes; try a smaller batch", bytes_);
  // A hint: failure is harmless.
  madvise(memory, static_cast<size_t>(mapped_bytes_), MADV_HUGEPAGE);
  data_ = static_cast<char*>(memory);
}

HostArena::~HostArena() {
  munmap(data_, static_cast<size_t>(mapped_bytes_));
}

}  // namespace outsize
