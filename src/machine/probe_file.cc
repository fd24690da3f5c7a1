#include "machine/probe_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/rng.h"
#include "machine/file_system.h"
#include "storage/checksum.h"

namespace outsize {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kMiB = std::int64_t{1} << 20;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
// A sample is the time of this many bytes: single blocks come back in bursts.
constexpr std::int64_t kSampleBytes = 32 * kMiB;
// Memory that blocks move to and from in turn, more than a cache holds: a disk that other
// processors copy for, as those of virtual machines are, is a quarter faster into blocks that lie
// in one.
constexpr std::int64_t kMemoryBytes = 64 * kMiB;
constexpr std::size_t kMaxBlocks = std::size_t{1} << 22;  // of one phase; bounds the time stamps

// Memory that blocks move to and from, as an arena is: huge pages of its own mapping. Scattered
// small pages make hundreds of segments of each transfer, and a disk may take twice as long for
// them; memory that the allocator had used before would consist of such.
class Blocks {
 public:
  explicit Blocks(std::int64_t bytes)
      : bytes_((static_cast<std::size_t>(bytes) + kHugePage - 1) / kHugePage * kHugePage),
        mapped_(::mmap(nullptr, bytes_ + kHugePage, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (mapped_ == MAP_FAILED)
      fail(ErrorKind::OutOfMemory, "[disk] no memory for blocks; asked {} bytes", bytes_);
    void* aligned = mapped_;
    std::size_t space = bytes_ + kHugePage;
    data_ = static_cast<std::byte*>(std::align(kHugePage, bytes_, aligned, space));
    ::madvise(data_, bytes_, MADV_HUGEPAGE);  // advice: nothing is lost where it is not taken
    fill();
  }
  ~Blocks() { ::munmap(mapped_, bytes_ + kHugePage); }
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;
  std::byte* data() const { return data_; }

 private:
  // Random bytes: some disks and file systems compress.
  void fill() {
    const Rng random(1, 0);
    for (std::size_t i = 0; i < bytes_; i += 8) {
      const std::uint64_t word = random.bits(i);
      std::memcpy(data_ + i, &word, sizeof(word));
    }
  }

  std::size_t bytes_;
  void* mapped_;
  std::byte* data_;
};

struct Stamp {
  double end, took;  // seconds: since the start, and of the block
};

// One phase: `depth` threads share a counter of blocks and go over the file until time is up.
class Phase {
 public:
  Phase(int descriptor, DiskTraffic traffic, std::int64_t file_bytes, std::int64_t block_bytes)
      : descriptor_(descriptor),
        traffic_(traffic),
        block_bytes_(block_bytes),
        file_blocks_(
            static_cast<std::size_t>(std::max<std::int64_t>(file_bytes / block_bytes, 1))) {}

  // Moves at least `min_blocks`. Stamps of the finished blocks, ascending. Throws Io.
  std::vector<Stamp> run(std::size_t min_blocks, int depth, double seconds) {
    const std::int64_t places = std::max<std::int64_t>(depth, kMemoryBytes / block_bytes_);
    const Blocks blocks(block_bytes_ * places);
    std::vector<std::vector<Stamp>> stamps(static_cast<std::size_t>(depth));
    begin_ = Clock::now();
    {
      std::vector<std::jthread> workers;
      for (std::size_t i = 0; i < stamps.size(); ++i)
        workers.emplace_back([&, i] {
          work(blocks.data(), static_cast<std::size_t>(places), min_blocks, seconds, stamps[i]);
        });
    }
    if (error_ != 0)
      fail(ErrorKind::Io, "[disk] cannot {}; got: {}", name_of(traffic_), std::strerror(error_));
    std::vector<Stamp> all;
    for (const auto& part : stamps) all.insert(all.end(), part.begin(), part.end());
    std::sort(all.begin(), all.end(), [](const Stamp& a, const Stamp& b) { return a.end < b.end; });
    return all;
  }

 private:
  double elapsed() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  void work(std::byte* blocks, std::size_t places, std::size_t min_blocks, double seconds,
            std::vector<Stamp>& stamps) {
    while (error_ == 0) {
      const std::size_t turn = next_++;
      if (turn >= kMaxBlocks || (turn >= min_blocks && elapsed() >= seconds)) return;
      const auto offset = static_cast<std::int64_t>(turn % file_blocks_) * block_bytes_;
      std::byte* block = blocks + turn % places * static_cast<std::size_t>(block_bytes_);
      const bool writes =
          traffic_ == DiskTraffic::write || (traffic_ == DiskTraffic::mixed && turn % 2 == 1);
      const double start = elapsed();
      if (writes) verify(block);
      if (const int error = move(block, offset, writes)) {
        error_ = error;
        return;
      }
      if (!writes) verify(block);
      const double end = elapsed();
      stamps.push_back({end, end - start});
    }
  }

  // What the store does with all it moves: a seventh of a core's time at 2 GB/s.
  void verify(const std::byte* block) { checksum(block, static_cast<std::size_t>(block_bytes_)); }

  // The whole block, or the error number.
  int move(std::byte* block, std::int64_t offset, bool writes) const {
    std::int64_t done = 0;
    while (done < block_bytes_) {
      const auto rest = static_cast<std::size_t>(block_bytes_ - done);
      const ssize_t moved = writes ? ::pwrite(descriptor_, block + done, rest, offset + done)
                                   : ::pread(descriptor_, block + done, rest, offset + done);
      if (moved < 0 && errno == EINTR) continue;
      if (moved < 0) return errno;
      if (moved == 0) return EIO;
      done += moved;
    }
    return 0;
  }

  int descriptor_;
  DiskTraffic traffic_;
  std::int64_t block_bytes_;
  std::size_t file_blocks_;
  Clock::time_point begin_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<int> error_ = 0;
};

Rate rate_of(const std::vector<Stamp>& stamps, std::int64_t block_bytes) {
  constexpr double kMinSeconds = 1e-9;  // a clock that stands still must not give infinity
  std::vector<double> samples;
  const auto sample_blocks = static_cast<std::size_t>(kSampleBytes / block_bytes);
  const std::size_t group =
      std::clamp<std::size_t>(stamps.size() / 4, 1, std::max<std::size_t>(sample_blocks, 1));
  double before = 0;
  for (std::size_t end = group; end <= stamps.size(); end += group) {
    const double took = std::max(stamps[end - 1].end - before, kMinSeconds);
    samples.push_back(static_cast<double>(group) * static_cast<double>(block_bytes) / took / 1e9);
    before = stamps[end - 1].end;
  }
  return summarise(samples);
}

double median_latency(std::vector<Stamp> stamps) {
  const auto middle = stamps.begin() + static_cast<std::ptrdiff_t>(stamps.size() / 2);
  std::nth_element(stamps.begin(), middle, stamps.end(),
                   [](const Stamp& a, const Stamp& b) { return a.took < b.took; });
  return middle->took;
}

}  // namespace

const char* name_of(DiskTraffic traffic) {
  switch (traffic) {
    case DiskTraffic::read:
      return "read";
    case DiskTraffic::write:
      return "write";
    case DiskTraffic::mixed:
      return "mixed";
  }
  return "read";
}

ProbeFile::ProbeFile(const std::string& folder, std::int64_t file_bytes)
    : bytes_(std::max<std::int64_t>(file_bytes / kMiB, 1) * kMiB) {
  const std::int64_t room = file_system_of(folder).free_bytes;
  if (room < bytes_)
    fail(ErrorKind::OutOfMemory,
         "[{}] no room for the file to measure with; got {} bytes free; expected {}", folder, room,
         bytes_);
  descriptor_ = open_unnamed_file(folder, direct_);
  try {
    constexpr int kDepth = 4;
    Phase(descriptor_, DiskTraffic::write, bytes_, kMiB)
        .run(static_cast<std::size_t>(bytes_ / kMiB), kDepth, 0);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

ProbeFile::~ProbeFile() {
  ::close(descriptor_);
}

DiskPoint ProbeFile::run(DiskTraffic traffic, std::int64_t block_bytes, int depth,
                         double seconds) const {
  block_bytes = std::min(block_bytes, bytes_);
  DiskPoint point;
  point.kind = name_of(traffic);
  point.block_bytes = block_bytes;
  point.depth = std::clamp(depth, 1, 64);
  const auto stamps = Phase(descriptor_, traffic, bytes_, block_bytes).run(1, point.depth, seconds);
  point.gb_per_second = rate_of(stamps, block_bytes);
  point.latency_seconds = median_latency(stamps);
  return point;
}

void ProbeFile::settle() const {
  if (::fdatasync(descriptor_) != 0)
    fail(ErrorKind::Io, "[disk] cannot synchronise; got: {}", std::strerror(errno));
  if (!direct_) ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_DONTNEED);
}

double ProbeFile::cached_share() const {
  const auto size = static_cast<std::size_t>(bytes_);
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor_, 0);
  if (mapped == MAP_FAILED) return 0;  // a file system without mappings has no page cache to show
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> resident((size + page - 1) / page);
  double share = 0;
  if (::mincore(mapped, size, resident.data()) == 0)
    share =
        static_cast<double>(std::count_if(resident.begin(), resident.end(),
                                          [](unsigned char flags) { return (flags & 1) != 0; })) /
        static_cast<double>(resident.size());
  ::munmap(mapped, size);
  return share;
}

}  // namespace outsize
