// What the store needs of an operating system: a few calls on folders, a file, and something that
// moves pieces of it. RealDisk is Linux; the tests have a simulated one that fails in every way
// that docs/DURABILITY.md names. Pieces may come back short or interrupted: AsyncFile, which is the
// same code on both, deals with that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace outsize {

struct FilePiece {
  std::uint32_t id = 0;  // below the mover's depth, not in use by another piece in flight
  bool write = false;
  std::byte* memory = nullptr;  // borrowed until the piece is collected; only read if `write`
  std::uint64_t offset = 0;     // bytes from the start of the file
  std::uint64_t bytes = 0;
};

struct MovedPiece {
  std::uint32_t id = 0;
  std::int64_t result = 0;  // bytes moved, perhaps fewer than asked for, or minus errno
};

// Moves up to `depth` pieces at a time. start and flush are called by one thread at a time, collect
// by one thread at a time, perhaps another. Never throws, never allocates.
class PieceMover {
 public:
  virtual ~PieceMover() = default;  // nothing may be in flight
  // Takes the piece; it need not move before flush.
  virtual void start(const FilePiece& piece) noexcept = 0;
  virtual void flush() noexcept = 0;
  // Waits until a piece has been moved; returns how many entries of `moved` were filled, at least
  // one. Something must be in flight.
  virtual int collect(std::span<MovedPiece> moved) noexcept = 0;
  // Memory that many pieces will lie in; makes moving cheaper where the system can. True if so.
  virtual bool register_memory(std::span<std::byte>) noexcept { return false; }
};

class RawFile {
 public:
  virtual ~RawFile() = default;
  virtual const std::string& path() const = 0;
  // Throws Io. The file must outlive the mover.
  virtual std::unique_ptr<PieceMover> make_mover(int depth) = 0;
  // Makes durable what has been written (collected) before. These two return 0 or an errno.
  virtual int sync() noexcept = 0;
  // Gives the file this size, with space behind all of it where the file system can.
  virtual int allocate(std::uint64_t bytes) noexcept = 0;
  // Bytes. Throws Io.
  virtual std::uint64_t size() const = 0;
  // Drops the range from the page cache, if it is there; written bytes go to the disk first. 0, or
  // the errno of written bytes, perhaps another range's, that did not get there: they will never
  // be durable, and no later sync says so.
  virtual int forget(std::uint64_t offset, std::uint64_t bytes, bool written) noexcept = 0;
};

// Held as long as it lives.
class DiskLock {
 public:
  virtual ~DiskLock() = default;
};

// Paths are as the caller writes them. Everything throws Io with the path and the reason.
class Disk {
 public:
  virtual ~Disk() = default;
  // An empty file, for reading and writing; what had that name is gone.
  virtual std::unique_ptr<RawFile> create(const std::string& path) = 0;
  virtual std::unique_ptr<RawFile> open(const std::string& path) = 0;
  virtual bool exists(const std::string& path) = 0;
  // With what is missing above it; none of it durable yet. An existing folder is left as it is.
  virtual void create_folder(const std::string& path) = 0;
  virtual void remove(const std::string& path) = 0;
  virtual void rename(const std::string& from, const std::string& to) = 0;
  // Makes names durable: what was created, renamed or removed in the folder.
  virtual void sync_folder(const std::string& path) = 0;
  // Bytes this user may still allocate there.
  virtual std::uint64_t free_bytes(const std::string& folder) = 0;
  // Refuses (Io, naming the process) when another holder has it. The lock goes with its process.
  virtual std::unique_ptr<DiskLock> lock(const std::string& path) = 0;
};

}  // namespace outsize
