// How fast one folder's disk reads and writes: by block size and depth, both at once, and beside
// matrix products.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "machine/machine.h"

namespace outsize {

struct DiskProbe {
  std::int64_t file_bytes = std::int64_t{256} << 20;  // whole MiB, at least one
  double seconds = 1.5;        // of reading, and of writing, at the main block size and depth
  double point_seconds = 0.4;  // of every other block size and depth
  int depth = 4;               // blocks of 1 MiB in flight, for the main rates: as the store does
};

// Writes a temporary file past the page cache where the file system can, and goes over it again and
// again. Nothing is left behind. `ram`, where known, tells a cache from a disk. Throws Io when the
// folder cannot be used or a read or write fails, OutOfMemory(disk) when the file does not fit.
DiskMachine measure_disk(const std::string& folder, const DiskProbe& probe = {},
                         const RamMachine& ram = {});

// Runs matrix products and disk traffic together: fills machine.slowdown for cpu, disk_read and
// disk_write, and the cpu_slowdown of some disk points. Needs machine.disk. `products`: multiplies
// for so many seconds, and says at what rate.
void measure_slowdown(const DiskProbe& probe, const std::function<double(double seconds)>& products,
                      Machine& machine);

// Matrix products, reads and writes, all at the same time for `seconds`, by a temporary file in the
// folder. Throws as measure_disk.
struct RatesTogether {
  double gflops = 0, read_gb_per_second = 0, write_gb_per_second = 0;
};
RatesTogether measure_together(const std::string& folder,
                               const std::function<double(double seconds)>& products,
                               double seconds);

// What makes a disk's rates untrue or poor: memory posing as a disk, page cache, another computer,
// slow hardware. `cached_share` as ProbeFile has it; RAM rates may be absent.
std::vector<std::string> disk_warnings(const DiskMachine& disk, const RamMachine& ram,
                                       double cached_share);

}  // namespace outsize
