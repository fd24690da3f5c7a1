// The disks of this computer. Direct I/O where the file system has it, otherwise through the page
// cache, of which nothing is kept; io_uring where the kernel allows it, otherwise threads. The
// bytes are the same in all four cases.
#pragma once

#include <memory>

#include "storage/disk.h"

namespace outsize {

struct RealDiskOptions {
  bool uring = true;   // false: threads, even where there is io_uring
  bool direct = true;  // false: the page cache, even where there is direct I/O
};

std::unique_ptr<Disk> make_real_disk(const RealDiskOptions& options = {});

}  // namespace outsize
