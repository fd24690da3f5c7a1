#include "machine/file_system.h"

#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>

#include "core/error.h"

namespace outsize {
namespace {

struct Known {
  std::uint64_t magic;
  const char* name;
  const char* kind;
};

constexpr Known kKnown[] = {
    {0xEF53, "ext4", "local"},           {0x58465342, "xfs", "local"},
    {0x9123683E, "btrfs", "local"},      {0x2FC12FC1, "zfs", "local"},
    {0xF2F52010, "f2fs", "local"},       {0xCA451A4E, "bcachefs", "local"},
    {0x794C7630, "overlayfs", "local"},  {0x4D44, "vfat", "local"},
    {0x2011BAB0, "exfat", "local"},      {0x5346544E, "ntfs", "local"},
    {0x01021994, "tmpfs", "memory"},     {0x858458F6, "ramfs", "memory"},
    {0x958458F6, "hugetlbfs", "memory"}, {0x6969, "nfs", "network"},
    {0xFF534D42, "cifs", "network"},     {0xFE534D42, "smb2", "network"},
    {0x517B, "smb", "network"},          {0x01021997, "9p", "network"},
    {0x65735546, "fuse", "network"},     {0x00C36400, "ceph", "network"},
    {0x0BD00BD0, "lustre", "network"},   {0x47504653, "gpfs", "network"},
    {0x5346414F, "afs", "network"},
};

}  // namespace

FileSystem describe_file_system(std::uint64_t magic) {
  for (const Known& known : kKnown)
    if (known.magic == magic) return {known.name, known.kind, 0};
  return {fmt::format("0x{:x}", magic), "local", 0};
}

FileSystem file_system_of(const std::string& folder) {
  struct statfs status {};
  int result = 0;
  do {
    result = ::statfs(folder.c_str(), &status);
  } while (result != 0 && errno == EINTR);
  if (result != 0)
    fail(ErrorKind::Io, "[{}] cannot examine the file system; got: {}", folder,
         std::strerror(errno));
  // Some systems sign-extend the 32-bit magic.
  FileSystem found = describe_file_system(static_cast<std::uint32_t>(status.f_type));
  std::int64_t free_bytes = 0;
  if (__builtin_mul_overflow(status.f_bavail, status.f_bsize, &free_bytes))
    free_bytes = std::numeric_limits<std::int64_t>::max();
  found.free_bytes = free_bytes;
  return found;
}

int open_unnamed_file(const std::string& folder, bool& direct) {
  const std::string path = fmt::format("{}/.outsize-probe-{}", folder, ::getpid());
  const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
  ::unlink(path.c_str());  // left by a killed process that had our number
  int descriptor = direct ? ::open(path.c_str(), flags | O_DIRECT, 0600) : -1;
  if (direct && descriptor < 0 && errno == EINVAL) ::unlink(path.c_str());
  if (descriptor < 0 && (!direct || errno == EINVAL)) {
    direct = false;
    descriptor = ::open(path.c_str(), flags, 0600);
  }
  if (descriptor < 0)
    fail(ErrorKind::Io, "[{}] cannot make a file; got: {}", folder, std::strerror(errno));
  ::unlink(path.c_str());
  return descriptor;
}

std::string nearest_existing(const std::string& folder) {
  namespace fs = std::filesystem;
  fs::path path = fs::absolute(folder).lexically_normal();
  std::error_code error;
  while (!fs::exists(path, error) && path.has_relative_path()) path = path.parent_path();
  return path.string();
}

}  // namespace outsize
