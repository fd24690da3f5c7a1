// How fast one folder's disk reads and writes, sequentially, at depth.
#pragma once

#include <cstdint>
#include <string>

#include "machine/machine.h"

namespace outsize {

struct DiskProbe {
  std::int64_t file_bytes = std::int64_t{256} << 20;  // whole MiB, at least one
  double seconds = 4;  // of reading, and of writing; at least one pass over the file is written
  int depth = 8;       // blocks in flight
};

// Writes a temporary file (1 MiB blocks, past the page cache where the file system can), goes over
// it again and again for the time given, then reads likewise. Nothing is left behind. Throws Io
// when the folder cannot be used or a read or write fails, OutOfMemory(disk) when the file does
// not fit.
DiskMachine measure_disk(const std::string& folder, const DiskProbe& probe = {});

}  // namespace outsize
