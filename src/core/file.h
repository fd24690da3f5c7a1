// Files as the rest of the system sees them: exact positional reads, and writes that appear whole
// or not at all. Every refusal of the operating system becomes Error(Io) with the path and its
// reason; a full disk only when nobody waits for room (core/room.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace outsize {

// Makes durable what was created, renamed or removed in a folder. Throws Io.
void sync_folder(const std::string& folder);
// Makes a new folder's own name durable, and those of the folders above it, as far as they can be.
void sync_names_of(const std::string& folder);

// A regular file opened for reading. Movable; read_at may be called from several threads at once.
class File {
 public:
  // Throws Io when the path cannot be opened or is not a regular file.
  static File open(const std::string& path);
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  const std::string& path() const { return path_; }
  // Bytes, as of open().
  std::uint64_t size() const { return size_; }
  // Reads exactly `bytes` bytes starting at `offset`. Throws Corruption when the file ends before
  // that, Io when the read fails; both name the file and the offset.
  void read_at(std::uint64_t offset, void* destination, std::size_t bytes) const;

 private:
  File(std::string path, int descriptor, std::uint64_t size);

  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

// The whole file. Throws InvalidArgument when it is larger than max_bytes, otherwise as File does.
std::string read_text(const std::string& path, std::uint64_t max_bytes);

// Writes a file under a temporary name beside its target; commit() makes it durable and gives it
// the target's name in one step. Destroyed without commit, it leaves the target as it was and no
// trace.
class AtomicFile {
 public:
  // Throws Io when the temporary file cannot be made.
  explicit AtomicFile(std::string path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  const std::string& path() const { return path_; }
  // Bytes accepted by write() so far.
  std::uint64_t size() const { return size_; }
  // Appends. Buffered: an error of the disk (ENOSPC, EIO) may show here or in commit(), as Io.
  void write(const void* data, std::size_t bytes);
  // fsync, rename onto the target, fsync of the folder. Once only; after a throw the target is as
  // it was before, unless the message says the folder could not be synchronised.
  void commit();

 private:
  void flush();

  std::string path_;
  std::string temporary_path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::vector<char> buffer_;
};

// A log that grows record by record. Records written before a kill are whole in the file; the last
// one may be cut when the machine itself stops.
class AppendFile {
 public:
  // Opens for appending, creates when absent. Throws Io.
  explicit AppendFile(std::string path);
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  ~AppendFile();

  const std::string& path() const { return path_; }
  // Appends one record and hands it to the operating system. Throws Io.
  void write(std::string_view record);

 private:
  std::string path_;
  int descriptor_ = -1;
};

// The file is either the old one or exactly `text`. Throws Io.
void write_text_atomically(const std::string& path, std::string_view text);

}  // namespace outsize
