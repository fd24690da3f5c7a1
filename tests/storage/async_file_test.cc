// The same bytes through every way of moving them, in any order, from several threads.
#include "storage/async_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "core/room.h"
#include "storage/aligned_buffer.h"
#include "storage/real_disk.h"
#include "storage/temp_folder.h"
#include "storage/twin/sim_disk.h"

namespace outsize {
namespace {

constexpr std::uint64_t kFilePages = 256;
constexpr QueueOptions kQueue{.block_bytes = 4 * kPageBytes, .depth = 3, .requests = 8};

enum class Way { uring_direct, uring_cached, threads_direct, threads_cached, simulated };

void fill(std::span<std::byte> memory, std::uint64_t seed) {
  Dice dice(seed);
  for (std::size_t i = 0; i + 8 <= memory.size(); i += 8) {
    const std::uint64_t word = dice.next();
    std::memcpy(memory.data() + i, &word, 8);
  }
}

class AsyncFileTest : public testing::TestWithParam<Way> {
 protected:
  AsyncFileTest() : simulated_(99) {
    simulated_.set_faults({.transient = 0.4, .stall = 0.3});
    const Way way = GetParam();
    const RealDiskOptions options{way == Way::uring_direct || way == Way::uring_cached,
                                  way == Way::uring_direct || way == Way::threads_direct};
    real_ = make_real_disk(options);
  }
  Disk& disk() { return GetParam() == Way::simulated ? simulated_ : *real_; }
  std::string path() const { return folder_.path() + "/file"; }
  std::unique_ptr<AsyncFile> make() {
    auto file = std::make_unique<AsyncFile>(disk().create(path()), kQueue);
    EXPECT_TRUE(file->allocate(kFilePages * kPageBytes).ok());
    return file;
  }

  TempFolder folder_;
  SimDisk simulated_;
  std::unique_ptr<Disk> real_;
};

TEST_P(AsyncFileTest, GivesBackWhatWasWritten) {
  const auto file = make();
  ASSERT_EQ(file->size(), kFilePages * kPageBytes);
  AlignedBuffer expected(file->size()), got(file->size());
  (void)file->register_memory(got.span());  // with and without: `expected` is not registered
  Dice dice(3);
  for (int round = 0; round < 20; ++round) {
    std::vector<IoTicket> tickets;
    std::uint64_t at = dice.below(20);  // ranges that do not overlap, in flight together
    while (tickets.size() < 7 && at < kFilePages) {
      const std::uint64_t pages = 1 + dice.below(std::min<std::uint64_t>(40, kFilePages - at));
      std::byte* memory = expected.data() + at * kPageBytes;
      fill({memory, pages * kPageBytes}, dice.next());
      tickets.push_back(file->write(at * kPageBytes, memory, pages * kPageBytes));
      at += pages + dice.below(8);
    }
    for (const IoTicket& ticket : tickets) ASSERT_TRUE(file->wait(ticket).ok());
    ASSERT_TRUE(round % 5 != 0 || file->sync().ok());
    std::memset(got.data(), 0, got.size());
    const IoTicket half = file->read(0, got.data(), got.size() / 2);
    const IoTicket rest = file->read(got.size() / 2, got.data() + got.size() / 2, got.size() / 2);
    ASSERT_TRUE(file->wait(rest).ok());
    ASSERT_TRUE(file->wait(half).ok());
    ASSERT_EQ(std::memcmp(got.data(), expected.data(), got.size()), 0);
  }
}

TEST_P(AsyncFileTest, RefusesWhatItCannotDo) {
  const auto file = make();
  AlignedBuffer memory(2 * kPageBytes);
  EXPECT_EQ(file->read_now(1, memory.data(), kPageBytes).code, IoCode::invalid);
  EXPECT_EQ(file->read_now(0, memory.data() + 8, kPageBytes).code, IoCode::invalid);
  EXPECT_EQ(file->read_now(0, memory.data(), 100).code, IoCode::invalid);
  const IoStatus end = file->read_now((kFilePages - 1) * kPageBytes, memory.data(), memory.size());
  EXPECT_EQ(end.code, IoCode::io);
  EXPECT_EQ(end.offset, (kFilePages - 1) * kPageBytes);
  EXPECT_TRUE(file->write_now(0, memory.data(), 0).ok());
  const IoTicket ticket = file->read(0, memory.data(), kPageBytes);
  EXPECT_TRUE(file->wait(ticket).ok());
  EXPECT_EQ(file->wait(ticket).code, IoCode::invalid);
  AlignedBuffer pages(static_cast<std::uint64_t>(kQueue.requests) * kPageBytes);
  std::vector<IoTicket> tickets;
  for (int i = 0; i < kQueue.requests; ++i)
    tickets.push_back(
        file->read(0, pages.data() + static_cast<std::uint64_t>(i) * kPageBytes, kPageBytes));
  EXPECT_EQ(file->read_now(0, memory.data(), kPageBytes).code, IoCode::busy);
  EXPECT_TRUE(file->wait_all().ok());
  EXPECT_TRUE(file->read_now(0, memory.data(), kPageBytes).ok());
}

// What the simulated disk, of one thread and without a page cache, cannot show.
class RealFileTest : public AsyncFileTest {};

// One thread reads the even pages that nobody writes, the other writes the odd ones; two threads
// wait on the same queue.
TEST_P(RealFileTest, ServesSeveralThreads) {
  const auto file = make();
  const auto work = [&](std::uint64_t first, bool write) {
    AlignedBuffer memory(kPageBytes);
    for (std::uint64_t page = first; page < kFilePages; page += 4) {
      fill(memory.span(), page);
      const IoStatus status = write ? file->write_now(page * kPageBytes, memory.data(), kPageBytes)
                                    : file->read_now(page * kPageBytes, memory.data(), kPageBytes);
      EXPECT_TRUE(status.ok());
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t i = 0; i < 4; ++i) threads.emplace_back(work, i, i % 2 == 1);
  }
  AlignedBuffer expected(kPageBytes), got(kPageBytes);
  for (std::uint64_t page = 1; page < kFilePages; page += 2) {
    fill(expected.span(), page);
    ASSERT_TRUE(file->read_now(page * kPageBytes, got.data(), kPageBytes).ok());
    ASSERT_EQ(std::memcmp(got.data(), expected.data(), kPageBytes), 0);
  }
}

TEST_P(RealFileTest, LeavesNothingInThePageCache) {
  const auto file = make();
  AlignedBuffer memory(file->size());
  fill(memory.span(), 5);
  ASSERT_TRUE(file->write_now(0, memory.data(), memory.size()).ok());
  ASSERT_TRUE(file->read_now(0, memory.data(), memory.size()).ok());
  const int descriptor = ::open(path().c_str(), O_RDONLY);
  void* map = ::mmap(nullptr, memory.size(), PROT_READ, MAP_SHARED, descriptor, 0);
  ASSERT_NE(map, MAP_FAILED);
  std::vector<unsigned char> resident(kFilePages);
  ASSERT_EQ(::mincore(map, memory.size(), resident.data()), 0);
  int count = 0;
  for (const unsigned char page : resident) count += page & 1;
  EXPECT_LE(count, 16) << "of " << kFilePages << " pages";
  ::munmap(map, memory.size());
  ::close(descriptor);
}

std::string name_of_way(const testing::TestParamInfo<Way>& info) {
  constexpr const char* kNames[] = {"UringDirect", "UringCached", "ThreadsDirect", "ThreadsCached",
                                    "Simulated"};
  return kNames[static_cast<int>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(RealWays, RealFileTest,
                         testing::Values(Way::uring_direct, Way::uring_cached, Way::threads_direct,
                                         Way::threads_cached),
                         name_of_way);
INSTANTIATE_TEST_SUITE_P(EveryWay, AsyncFileTest,
                         testing::Values(Way::uring_direct, Way::uring_cached, Way::threads_direct,
                                         Way::threads_cached, Way::simulated),
                         name_of_way);

TEST(AsyncFile, TellsAFullDiskFromABrokenOne) {
  SimDisk disk(1);
  AsyncFile file(disk.create("file"), kQueue);
  ASSERT_TRUE(file.allocate(16 * kPageBytes).ok());
  AlignedBuffer memory(16 * kPageBytes);
  disk.set_faults({.no_space_from = 1, .no_space_until = 1000});
  EXPECT_EQ(file.write_now(0, memory.data(), memory.size()).code, IoCode::no_space);
  disk.set_faults({.io_error = 1});
  const IoStatus broken = file.read_now(kPageBytes, memory.data(), kPageBytes);
  EXPECT_EQ(broken.code, IoCode::io);
  const std::string message = io_error(broken, file.path(), "read").what();
  EXPECT_NE(message.find("[file] cannot read 4096 bytes at offset 4096"), std::string::npos);
  disk.set_faults({});
  EXPECT_TRUE(file.write_now(0, memory.data(), memory.size()).ok());
}

TEST(AsyncFile, WaitsForRoomInTheMiddleOfARequest) {
  SimDisk disk(1);
  AsyncFile file(disk.create("file"), kQueue);
  ASSERT_TRUE(file.allocate(16 * kPageBytes).ok());
  AlignedBuffer memory(16 * kPageBytes), back(16 * kPageBytes);
  fill({memory.data(), memory.size()}, 1);
  int asked = 0;
  const RoomWaiter waiter([&](const std::string& path, std::uint64_t bytes) {
    EXPECT_EQ(path, "file");
    EXPECT_GT(bytes, 0u);
    return ++asked < 3000;
  });
  // More often than a piece may be interrupted.
  disk.set_faults({.no_space_from = 2, .no_space_until = 2500});
  EXPECT_TRUE(file.write_now(0, memory.data(), memory.size()).ok());
  EXPECT_GT(asked, 2000);
  ASSERT_TRUE(file.read_now(0, back.data(), back.size()).ok());
  EXPECT_EQ(std::memcmp(memory.data(), back.data(), back.size()), 0);
  asked = 3000;  // gives up
  disk.set_faults({.no_space_from = 1, .no_space_until = 1000});
  EXPECT_EQ(file.write_now(0, memory.data(), memory.size()).code, IoCode::no_space);
}

TEST(RealDisk, LocksOncePerMachine) {
  const TempFolder folder;
  const auto disk = make_real_disk();
  auto lock = disk->lock(folder.path() + "/lock");
  try {
    (void)disk->lock(folder.path() + "/lock");
    FAIL() << "locked twice";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Io);
    EXPECT_NE(std::string(error.what()).find("process " + std::to_string(::getpid())),
              std::string::npos)
        << error.what();
  }
  lock.reset();
  EXPECT_NE(disk->lock(folder.path() + "/lock"), nullptr);
}

TEST(RealDisk, SaysWhatItCannotOpen) {
  const TempFolder folder;
  const auto disk = make_real_disk();
  for (const std::string& path : {folder.path() + "/absent", folder.path()}) {
    try {
      (void)disk->open(path);
      FAIL() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Io);
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace outsize
