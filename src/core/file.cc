#include "core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/error.h"
#include "core/room.h"

namespace outsize {
namespace {

constexpr std::size_t kBufferBytes = 256 * 1024;
// Linux moves at most this much per call; smaller pieces also keep EINTR retries cheap.
constexpr std::size_t kPieceBytes = std::size_t{1} << 30;

[[noreturn]] void fail_io(const char* action, const std::string& path, int error) {
  fail(ErrorKind::Io, "[file] cannot {} '{}'; got: {}", action, path, std::strerror(error));
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

void write_all(int descriptor, const std::string& path, const char* data, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t put = ::write(descriptor, data, std::min(bytes, kPieceBytes));
    const int error = put < 0 ? errno : 0;
    if (error == EINTR || (is_no_space(error) && wait_for_room(path, bytes))) continue;
    if (error != 0) fail_io("write", path, error);
    data += put;
    bytes -= static_cast<std::size_t>(put);
  }
}

}  // namespace

void sync_folder(const std::string& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail_io("open folder", folder, errno);
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // Some file systems have nothing to synchronise for a folder and say EINVAL.
  if (error != 0 && error != EINVAL && error != ENOTSUP)
    fail_io("synchronise folder", folder, error);
}

void sync_names_of(const std::string& folder) {
  namespace fs = std::filesystem;
  fs::path path = fs::absolute(folder).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // it ended with a slash
  while (path.has_relative_path()) {
    path = path.parent_path();
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;  // not ours, so it was there before
    (void)::fsync(descriptor);
    ::close(descriptor);
  }
}

File::File(std::string path, int descriptor, std::uint64_t size)
    : path_(std::move(path)), descriptor_(descriptor), size_(size) {}

File File::open(const std::string& path) {
  // O_NONBLOCK: opening a pipe must not hang; it has no effect on regular files.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) fail_io("open", path, errno);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) {
    const int error = errno;
    ::close(descriptor);
    fail_io("examine", path, error);
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(descriptor);
    fail(ErrorKind::Io, "[file] cannot read '{}'; got {}; expected a regular file", path,
         S_ISDIR(status.st_mode) ? "a folder" : "a device or pipe");
  }
  return File(path, descriptor, static_cast<std::uint64_t>(status.st_size));
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(std::exchange(other.size_, 0)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void File::read_at(std::uint64_t offset, void* destination, std::size_t bytes) const {
  if (offset > size_ || bytes > size_ - offset)
    fail(ErrorKind::Corruption,
         "[file] '{}' ends early; got {} bytes; expected {} more at offset {}", path_, size_, bytes,
         offset);
  char* target = static_cast<char*>(destination);
  while (bytes > 0) {
    const ssize_t got =
        ::pread(descriptor_, target, std::min(bytes, kPieceBytes), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      fail(ErrorKind::Io, "[file] cannot read {} bytes at offset {} of '{}'; got: {}", bytes,
           offset, path_, std::strerror(errno));
    if (got == 0)
      fail(ErrorKind::Corruption, "[file] '{}' was cut while being read; got its end at offset {}",
           path_, offset);
    target += got;
    offset += static_cast<std::uint64_t>(got);
    bytes -= static_cast<std::size_t>(got);
  }
}

std::string read_text(const std::string& path, std::uint64_t max_bytes) {
  const File file = File::open(path);
  if (file.size() > max_bytes)
    fail(ErrorKind::InvalidArgument, "[file] '{}' is too large; got {} bytes; expected at most {}",
         path, file.size(), max_bytes);
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  file.read_at(0, text.data(), text.size());
  return text;
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  static std::atomic<unsigned> serial{0};
  // A number left over from a killed process with our pid is skipped; O_EXCL never takes a name in
  // use.
  int error = 0;
  do {
    temporary_path_ = fmt::format("{}.tmp-{}-{}", path_, ::getpid(), serial++);
    descriptor_ = ::open(temporary_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    error = descriptor_ < 0 ? errno : 0;
  } while (error == EEXIST || (is_no_space(error) && wait_for_room(temporary_path_, 0)));
  if (error != 0) fail_io("create", temporary_path_, error);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_path_.empty()) ::unlink(temporary_path_.c_str());
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  ensure(!temporary_path_.empty(), "[file] write to '{}' after commit", path_);
  const char* source = static_cast<const char*>(data);
  if (bytes >= kBufferBytes) {
    flush();
    write_all(descriptor_, temporary_path_, source, bytes);
  } else {
    if (buffer_.size() + bytes > kBufferBytes) flush();
    if (buffer_.capacity() == 0) buffer_.reserve(kBufferBytes);
    buffer_.insert(buffer_.end(), source, source + bytes);
  }
  size_ += bytes;
}

void AtomicFile::commit() {
  ensure(!temporary_path_.empty(), "[file] commit of '{}' twice", path_);
  flush();
  if (::fsync(descriptor_) != 0) fail_io("synchronise", temporary_path_, errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) fail_io("close", temporary_path_, errno);
  if (::rename(temporary_path_.c_str(), path_.c_str()) != 0) fail_io("rename to", path_, errno);
  temporary_path_.clear();
  sync_folder(folder_of(path_));
}

void AtomicFile::flush() {
  write_all(descriptor_, temporary_path_, buffer_.data(), buffer_.size());
  buffer_.clear();
}

AppendFile::AppendFile(std::string path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_io("open", path_, errno);
}

AppendFile::~AppendFile() {
  ::close(descriptor_);
}

void AppendFile::write(std::string_view record) {
  write_all(descriptor_, path_, record.data(), record.size());
}

void write_text_atomically(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text.data(), text.size());
  file.commit();
}

}  // namespace outsize
