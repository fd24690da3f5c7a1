// A file to measure a disk with: read, written, or both, by blocks at a depth.
#pragma once

#include <cstdint>
#include <string>

#include "machine/machine.h"

namespace outsize {

// The kinds of DiskPoint::kind.
enum class DiskTraffic { read, write, mixed };
const char* name_of(DiskTraffic traffic);

class ProbeFile {
 public:
  // Makes a file of whole MiB without a name and writes it once, so that later passes find its
  // extents. Past the page cache where the file system can. Throws Io, OutOfMemory(disk).
  ProbeFile(const std::string& folder, std::int64_t file_bytes);
  ~ProbeFile();
  ProbeFile(const ProbeFile&) = delete;
  ProbeFile& operator=(const ProbeFile&) = delete;

  // Goes over the file block by block for `seconds`, `depth` blocks in flight, a thread each, and
  // takes the checksum of each as the store does. May run beside other work of this process. Throws
  // Io.
  DiskPoint run(DiskTraffic traffic, std::int64_t block_bytes, int depth, double seconds) const;

  bool direct() const { return direct_; }
  std::int64_t bytes() const { return bytes_; }
  // Makes what was written durable and, without direct I/O, asks the system to forget it. Throws
  // Io.
  void settle() const;
  // Share of the file's pages that lie in the page cache, whatever direct() says.
  double cached_share() const;

 private:
  bool direct_ = true;
  int descriptor_;
  std::int64_t bytes_;
};

}  // namespace outsize
