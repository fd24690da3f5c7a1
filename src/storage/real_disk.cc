#include "storage/real_disk.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "core/error.h"
#include "core/file.h"
#include "storage/thread_mover.h"
#include "storage/uring_mover.h"

namespace outsize {
namespace {

[[noreturn]] void fail_io(const std::string& path, const char* action, int error) {
  fail(ErrorKind::Io, "[{}] cannot {}; got: {}", path, action, std::strerror(error));
}

// Calls again while a signal interrupts; 0 or the errno.
template <class F>
int error_of(F call) {
  int result = 0;
  do {
    result = call();
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

class RealFile : public RawFile {
 public:
  RealFile(std::string path, int descriptor, bool direct, bool uring)
      : path_(std::move(path)), descriptor_(descriptor), direct_(direct), uring_(uring) {
    // Our requests are large and known beforehand; the kernel's guesses only fill its cache.
    if (!direct_) ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_RANDOM);
  }
  ~RealFile() override { ::close(descriptor_); }
  RealFile(const RealFile&) = delete;
  RealFile& operator=(const RealFile&) = delete;

  const std::string& path() const override { return path_; }

  std::unique_ptr<PieceMover> make_mover(int depth) override {
    std::string reason;
    if (uring_)
      if (auto mover = make_uring_mover(descriptor_, depth, reason)) return mover;
    return make_thread_mover(descriptor_, depth);
  }

  int sync() noexcept override {
    return error_of([this] { return ::fdatasync(descriptor_); });
  }

  int allocate(std::uint64_t bytes) noexcept override {
    const auto size = static_cast<off_t>(bytes);
    const int error = error_of([&] { return ::fallocate(descriptor_, 0, 0, size); });
    if (error != EOPNOTSUPP && error != ENOSYS) return error;
    return error_of([&] { return ::ftruncate(descriptor_, size); });
  }

  std::uint64_t size() const override {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) fail_io(path_, "examine", errno);
    return static_cast<std::uint64_t>(status.st_size);
  }

  int forget(std::uint64_t offset, std::uint64_t bytes, bool written) noexcept override {
    if (direct_) return 0;
    const auto first = static_cast<off_t>(offset), length = static_cast<off_t>(bytes);
    if (written)  // only clean pages can be dropped
      if (const int error = write_back(first, length); error != 0) return error;
    (void)::posix_fadvise(descriptor_, first, length, POSIX_FADV_DONTNEED);
    return 0;
  }

 private:
  // Linux tells a file's write-back error once: told here, it is no longer told by a sync.
  int write_back(off_t first, off_t length) noexcept {
    const int error = error_of([&] {
      return ::sync_file_range(
          descriptor_, first, length,
          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    });
    const bool refused = error == ENOSYS || error == EINVAL || error == EPERM;  // nothing was tried
    return refused ? 0 : error;
  }

  std::string path_;
  int descriptor_;
  bool direct_;
  bool uring_;
};

class RealLock : public DiskLock {
 public:
  explicit RealLock(const std::string& path) {
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail_io(path, "open the lock", errno);
    const int error = error_of([this] { return ::flock(descriptor_, LOCK_EX | LOCK_NB); });
    if (error != 0) {
      const std::string holder = read_holder();
      ::close(descriptor_);
      if (error != EWOULDBLOCK) fail_io(path, "lock", error);
      fail(ErrorKind::Io,
           "[{}] the store is in use; got the lock of process {}; expected one process at a time; "
           "try: wait for it, or end it",
           path, holder);
    }
    write_holder();
  }
  ~RealLock() override { ::close(descriptor_); }
  RealLock(const RealLock&) = delete;
  RealLock& operator=(const RealLock&) = delete;

 private:
  std::string read_holder() const {
    char text[16] = {};
    const ssize_t got = ::pread(descriptor_, text, sizeof text - 1, 0);
    int number = 0;
    const auto parsed = std::from_chars(text, text + (got > 0 ? got : 0), number);
    return parsed.ec == std::errc() ? std::to_string(number) : "unknown";
  }
  // For the message only: a lock whose holder cannot be named still holds.
  void write_holder() const {
    const std::string number = std::to_string(::getpid()) + "\n";
    if (::ftruncate(descriptor_, 0) == 0)
      (void)!::pwrite(descriptor_, number.data(), number.size(), 0);
  }

  int descriptor_ = -1;
};

class RealDisk : public Disk {
 public:
  explicit RealDisk(const RealDiskOptions& options) : options_(options) {}

  std::unique_ptr<RawFile> create(const std::string& path) override {
    return open_file(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, "create");
  }

  std::unique_ptr<RawFile> open(const std::string& path) override {
    return open_file(path, O_RDWR | O_CLOEXEC, "open");
  }

  bool exists(const std::string& path) override {
    if (::access(path.c_str(), F_OK) == 0) return true;
    if (errno != ENOENT && errno != ENOTDIR) fail_io(path, "examine", errno);
    return false;
  }

  void create_folder(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) fail_io(path, "create the folder", error.value());
  }

  void remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) fail_io(path, "remove", errno);
  }

  void rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) fail_io(from, "rename", errno);
  }

  void sync_folder(const std::string& path) override { outsize::sync_folder(path); }

  std::uint64_t free_bytes(const std::string& folder) override {
    struct statvfs status {};
    const int error = error_of([&] { return ::statvfs(folder.c_str(), &status); });
    if (error != 0) fail_io(folder, "examine the file system", error);
    return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
  }

  std::unique_ptr<DiskLock> lock(const std::string& path) override {
    return std::make_unique<RealLock>(path);
  }

 private:
  std::unique_ptr<RawFile> open_file(const std::string& path, int flags, const char* action) {
    int descriptor = options_.direct ? ::open(path.c_str(), flags | O_DIRECT, 0666) : -1;
    const bool direct = descriptor >= 0;
    // EINVAL: the file system has no direct I/O.
    if (!direct && (!options_.direct || errno == EINVAL))
      descriptor = ::open(path.c_str(), flags, 0666);
    if (descriptor < 0) fail_io(path, action, errno);
    auto file = std::make_unique<RealFile>(path, descriptor, direct, options_.uring);
    struct stat status {};
    if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode))
      fail(ErrorKind::Io, "[{}] cannot {}; got something else; expected a regular file", path,
           action);
    return file;
  }

  RealDiskOptions options_;
};

}  // namespace

std::unique_ptr<Disk> make_real_disk(const RealDiskOptions& options) {
  return std::make_unique<RealDisk>(options);
}

}  // namespace outsize
