#include "machine/disk_rate.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/rng.h"
#include "machine/file_system.h"

namespace outsize {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kBlockBytes = std::int64_t{1} << 20;
constexpr std::align_val_t kAlignment{4096};  // of buffers for direct I/O
// A sample is the time of this many blocks: single blocks come back in bursts.
constexpr std::size_t kSampleBlocks = 32;
constexpr std::size_t kMaxBlocks = std::size_t{1} << 22;  // of one phase; bounds the time stamps

struct BlockDeleter {
  void operator()(std::byte* block) const { ::operator delete[](block, kAlignment); }
};
using Block = std::unique_ptr<std::byte[], BlockDeleter>;

// Random bytes: some disks and file systems compress.
Block make_block(std::uint64_t seed) {
  Block block(static_cast<std::byte*>(::operator new[](kBlockBytes, kAlignment)));
  const Rng random(seed, 0);
  for (std::int64_t i = 0; i < kBlockBytes; i += 8) {
    const std::uint64_t word = random.bits(static_cast<std::uint64_t>(i));
    std::memcpy(block.get() + i, &word, sizeof(word));
  }
  return block;
}

struct Descriptor {
  int number;
  explicit Descriptor(int number) : number(number) {}
  ~Descriptor() { ::close(number); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
};

// One phase: `depth` threads share a counter of blocks and go over the file until time is up.
class Phase {
 public:
  Phase(int descriptor, bool writes, std::int64_t file_bytes, int depth)
      : descriptor_(descriptor),
        writes_(writes),
        file_blocks_(static_cast<std::size_t>(file_bytes / kBlockBytes)) {
    for (int i = 0; i < depth; ++i) blocks_.push_back(make_block(static_cast<std::uint64_t>(i)));
  }

  // Moves at least `min_blocks`, then goes on until `seconds` are over. Time stamps of the
  // finished blocks, ascending, in seconds from the start. Throws Io.
  std::vector<double> run(std::size_t min_blocks, double seconds) {
    next_ = 0;
    error_ = 0;
    std::vector<std::vector<double>> stamps(blocks_.size());
    const auto begin = Clock::now();
    {
      std::vector<std::jthread> workers;
      for (std::size_t i = 0; i < blocks_.size(); ++i)
        workers.emplace_back(
            [&, i] { work(blocks_[i].get(), begin, min_blocks, seconds, stamps[i]); });
    }
    if (error_ != 0)
      fail(ErrorKind::Io, "[disk] cannot {}; got: {}", writes_ ? "write" : "read",
           std::strerror(error_));
    std::vector<double> all;
    for (const auto& part : stamps) all.insert(all.end(), part.begin(), part.end());
    std::sort(all.begin(), all.end());
    return all;
  }

 private:
  void work(std::byte* block, Clock::time_point begin, std::size_t min_blocks, double seconds,
            std::vector<double>& stamps) {
    const auto elapsed = [&] {
      return std::chrono::duration<double>(Clock::now() - begin).count();
    };
    while (error_ == 0) {
      const std::size_t turn = next_++;
      if (turn >= kMaxBlocks || (turn >= min_blocks && elapsed() >= seconds)) return;
      const auto offset = static_cast<std::int64_t>(turn % file_blocks_) * kBlockBytes;
      if (const int error = move(block, offset)) {
        error_ = error;
        return;
      }
      stamps.push_back(elapsed());
    }
  }

  // The whole block, or the error number.
  int move(std::byte* block, std::int64_t offset) const {
    std::int64_t done = 0;
    while (done < kBlockBytes) {
      const auto rest = static_cast<std::size_t>(kBlockBytes - done);
      const ssize_t moved = writes_ ? ::pwrite(descriptor_, block + done, rest, offset + done)
                                    : ::pread(descriptor_, block + done, rest, offset + done);
      if (moved < 0 && errno == EINTR) continue;
      if (moved < 0) return errno;
      if (moved == 0) return EIO;
      done += moved;
    }
    return 0;
  }

  int descriptor_;
  bool writes_;
  std::size_t file_blocks_;
  std::vector<Block> blocks_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<int> error_ = 0;
};

Rate rate_of(const std::vector<double>& stamps) {
  constexpr double kMinSeconds = 1e-9;  // a clock that stands still must not give infinity
  std::vector<double> samples;
  const std::size_t group = std::clamp<std::size_t>(stamps.size() / 4, 1, kSampleBlocks);
  double before = 0;
  for (std::size_t end = group; end <= stamps.size(); end += group) {
    const double took = std::max(stamps[end - 1] - before, kMinSeconds);
    samples.push_back(static_cast<double>(group) * kBlockBytes / took / 1e9);
    before = stamps[end - 1];
  }
  return summarise(samples);
}

}  // namespace

DiskMachine measure_disk(const std::string& folder, const DiskProbe& probe) {
  const FileSystem system = file_system_of(folder);
  const std::int64_t blocks = std::max<std::int64_t>(probe.file_bytes / kBlockBytes, 1);
  const std::int64_t file_bytes = blocks * kBlockBytes;
  if (system.free_bytes < file_bytes)
    fail(ErrorKind::OutOfMemory,
         "[{}] no room for the file to measure with; got {} bytes free; "
         "expected {}",
         folder, system.free_bytes, file_bytes);
  DiskMachine disk;
  disk.path = folder;
  disk.file_system = system.name;
  disk.kind = system.kind;
  disk.free_bytes = system.free_bytes;
  disk.direct = true;
  const Descriptor file(open_unnamed_file(folder, disk.direct));
  const int depth = std::clamp(probe.depth, 1, 64);
  const auto one_pass = static_cast<std::size_t>(blocks);
  Phase writes(file.number, true, file_bytes, depth);
  writes.run(one_pass, 0);  // gives the file its extents; later passes measure the disk alone
  disk.write_gb_per_second = rate_of(writes.run(1, probe.seconds));
  if (::fdatasync(file.number) != 0)
    fail(ErrorKind::Io, "[{}] cannot synchronise; got: {}", folder, std::strerror(errno));
  if (!disk.direct) ::posix_fadvise(file.number, 0, 0, POSIX_FADV_DONTNEED);
  disk.read_gb_per_second =
      rate_of(Phase(file.number, false, file_bytes, depth).run(1, probe.seconds));
  return disk;
}

}  // namespace outsize
