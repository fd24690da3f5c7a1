#include "exec/host_arena.h"

#include <sys/mman.h>

#include "core/error.h"

namespace outsize {

HostArena::HostArena(std::int64_t bytes) {
  constexpr std::int64_t kHugePage = 2 << 20;
  bytes_ = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  if (bytes_ == 0) bytes_ = kHugePage;
  void* memory = mmap(nullptr, static_cast<size_t>(bytes_), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    fail(ErrorKind::OutOfMemory,
         "[executor] the host arena cannot be mapped; asked {} bytes; try a smaller batch", bytes_);
  madvise(memory, static_cast<size_t>(bytes_), MADV_HUGEPAGE);  // a hint: failure is harmless
  data_ = static_cast<char*>(memory);
}

HostArena::~HostArena() {
  munmap(data_, static_cast<size_t>(bytes_));
}

}  // namespace outsize
