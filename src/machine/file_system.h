// What a folder's storage is: a disk, memory that only looks like one, or somebody else's disk.
#pragma once

#include <cstdint>
#include <string>

namespace outsize {

struct FileSystem {
  std::string name;             // "ext4", "tmpfs", "nfs"; "0x…" for a kind not known here
  std::string kind;             // local, memory or network
  std::int64_t free_bytes = 0;  // for this user
};

// By statfs(2). Throws Io when the folder cannot be examined.
FileSystem file_system_of(const std::string& folder);

// The folder, or where it is not there the nearest one above it that is: what is made later lies on
// its disk.
std::string nearest_existing(const std::string& folder);

// Name and kind of a statfs magic number (statfs(2), linux/magic.h).
FileSystem describe_file_system(std::uint64_t magic);

// A new file in the folder, opened for reading and writing and already without a name: it is gone
// when the descriptor is closed, whatever happens. Past the page cache where `direct` is asked for
// and the file system can; `direct` is set to what was done. Throws Io.
int open_unnamed_file(const std::string& folder, bool& direct);

}  // namespace outsize
