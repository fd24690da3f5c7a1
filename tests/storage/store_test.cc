// The state store as its callers use it: on real files in every way of moving bytes, and what it
// says when it is used wrongly or meets damage.
#include "storage/store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "core/error.h"
#include "storage/real_disk.h"
#include "storage/temp_folder.h"
#include "storage/twin/sim_disk.h"
#include "storage/twin/toy_run.h"

namespace outsize {
namespace {

constexpr StoreScheme kBoth[] = {StoreScheme::two_slots, StoreScheme::ring};

TEST(Store, RunsToTheSameBitsOnRealFiles) {
  for (const StoreScheme scheme : kBoth)
    for (const bool uring : {true, false})
      for (const bool direct : {true, false}) {
        const TempFolder folder;
        const auto disk = make_real_disk({uring, direct});
        ToyOptions options{.scheme = scheme, .steps = 5, .scale = 3};
        ASSERT_TRUE(run_toy(*disk, folder.path(), options) == toy_expected(options));
        options.steps = 9;  // goes on where it was
        ASSERT_TRUE(run_toy(*disk, folder.path(), options) == toy_expected(options));
      }
}

// A store with one page per part, filled by the test.
struct Small {
  explicit Small(StoreScheme scheme) {
    layout.scheme = scheme;
    layout.blob_bytes_max = 16;
    layout.groups = {{"a", {{"x", kPageBytes}, {"y", kPageBytes}}, {kPageBytes}},
                     {"b", {{"z", kPageBytes}}, {kPageBytes}}};
  }
  void make() { store = StateStore::create(disk, "run", layout, {}); }
  void open() {
    store.reset();
    store = StateStore::open(disk, "run", {});
  }
  IoCode write(int group, int extent, int value) {
    std::memset(memory.data(), value, memory.size());
    return store->wait(store->write({group, extent, 0, kPageBytes}, memory.data())).code();
  }
  IoCode read(int group, int extent) {
    return store->wait(store->read({group, extent, 0, kPageBytes}, memory.data())).code();
  }
  int value() const { return static_cast<int>(memory.data()[17]); }
  void write_all(int value) {
    EXPECT_EQ(write(0, 0, value), IoCode::ok);
    EXPECT_EQ(write(0, 1, value), IoCode::ok);
    EXPECT_TRUE(store->finish_group(0).ok());
    EXPECT_EQ(write(1, 0, value), IoCode::ok);
    EXPECT_TRUE(store->finish_group(1).ok());
  }
  void log_all(std::int64_t step) {
    if (layout.scheme != StoreScheme::ring) return;
    EXPECT_EQ(write(0, kLogExtent, 7), IoCode::ok);
    EXPECT_EQ(write(1, kLogExtent, 8), IoCode::ok);
    EXPECT_TRUE(store->seal_log(step, {}).ok());
  }
  void step(std::int64_t number, int value) {
    if (number > 0) log_all(number);
    write_all(value);
    EXPECT_TRUE(store->commit(number, {}).ok());
  }

  SimDisk disk{1};
  StoreLayout layout;
  AlignedBuffer memory{kPageBytes};
  std::unique_ptr<StateStore> store;
};

TEST(Store, ReadsTheNewestFinishedCopy) {
  for (const StoreScheme scheme : kBoth) {
    Small small(scheme);
    small.make();
    EXPECT_EQ(small.read(0, 0), IoCode::invalid);  // nothing was written
    small.step(0, 10);
    small.log_all(1);
    EXPECT_EQ(small.write(0, 0, 11), IoCode::ok);
    EXPECT_EQ(small.read(0, 0), IoCode::ok);
    EXPECT_EQ(small.value(), 10);
    EXPECT_EQ(small.write(0, 1, 11), IoCode::ok);
    EXPECT_TRUE(small.store->finish_group(0).ok());
    EXPECT_EQ(small.read(0, 0), IoCode::ok);
    EXPECT_EQ(small.value(), 11);
    EXPECT_EQ(small.write(1, 0, 11), IoCode::ok);
    EXPECT_TRUE(small.store->finish_group(1).ok());
    const std::byte blob[3] = {std::byte{1}, std::byte{2}, std::byte{3}};
    EXPECT_TRUE(small.store->commit(1, blob).ok());
    small.open();
    EXPECT_EQ(small.store->step(), 1);
    EXPECT_EQ(small.store->blob().size(), 3u);
    EXPECT_EQ(small.store->blob()[2], std::byte{3});
    EXPECT_FALSE(small.store->pending());
    EXPECT_EQ(small.read(1, 0), IoCode::ok);
    EXPECT_EQ(small.value(), 11);
  }
}

TEST(Store, RefusesCallsOutOfOrder) {
  for (const StoreScheme scheme : kBoth) {
    const bool ring = scheme == StoreScheme::ring;
    Small small(scheme);
    small.make();
    EXPECT_EQ(small.store->commit(0, {}).code(), IoCode::invalid);  // nothing is written
    EXPECT_EQ(small.store->finish_group(0).code(), IoCode::invalid);
    EXPECT_EQ(small.write(2, 0, 0), IoCode::invalid);
    EXPECT_EQ(small.write(0, 2, 0), IoCode::invalid);
    EXPECT_EQ(small.write(0, -2, 0), IoCode::invalid);
    EXPECT_EQ(small.write(0, kLogExtent, 0), IoCode::invalid);
    small.step(0, 1);
    EXPECT_EQ(small.store->commit(0, {}).code(), IoCode::invalid);  // step does not go on
    EXPECT_EQ(small.store->wait({}).code(), IoCode::busy);
    EXPECT_EQ(small.store->wait({99, 1}).code(), IoCode::invalid);
    const std::byte blob[17] = {};
    if (ring) {
      EXPECT_EQ(small.write(0, 0, 2), IoCode::invalid);  // no log
      EXPECT_EQ(small.store->seal_log(1, {}).code(), IoCode::invalid);
      small.log_all(1);
      EXPECT_EQ(small.write(1, 0, 2), IoCode::invalid);  // not its turn
      EXPECT_EQ(small.write(0, kLogExtent, 0), IoCode::invalid);
    } else {
      EXPECT_EQ(small.store->seal_log(1, {}).code(), IoCode::invalid);
    }
    EXPECT_EQ(small.write(0, 0, 2), IoCode::ok);
    EXPECT_EQ(small.store->finish_group(0).code(), IoCode::invalid);  // y is missing
    EXPECT_EQ(small.store->commit(1, {}).code(), IoCode::invalid);
    EXPECT_EQ(small.write(0, 1, 2), IoCode::ok);
    EXPECT_TRUE(small.store->finish_group(0).ok());
    EXPECT_EQ(small.write(0, 1, 2), IoCode::invalid);  // finished
    EXPECT_EQ(small.store->commit(1, blob).code(), IoCode::invalid);
    EXPECT_EQ(small.store->commit(1, {}).ok(), !ring);  // the ring takes all groups
  }
}

TEST(Store, NamesTheDamagedBlock) {
  for (const StoreScheme scheme : kBoth) {
    Small small(scheme);
    small.make();
    small.step(0, 1);
    small.step(1, 2);
    SimNode& node = small.disk.node("run/state");
    const Geometry geometry(small.layout);
    const std::uint64_t at =  // of group b, extent z, after one move
        geometry.data_at + (scheme == StoreScheme::ring ? 0 : 5 * kPageBytes);
    node.now[at + 100] ^= std::byte{1};
    small.open();
    EXPECT_EQ(small.read(0, 0), IoCode::ok);
    const StoreStatus status =
        small.store->wait(small.store->read({1, 0, 0, kPageBytes}, small.memory.data()));
    ASSERT_EQ(status.code(), IoCode::corrupt);
    const Error error = small.store->error(status);
    EXPECT_EQ(error.kind(), ErrorKind::Corruption);
    const std::string text = error.what();
    EXPECT_NE(text.find("[run/state] group 'b', extent 'z': bytes 0 to 4096"), std::string::npos)
        << text;
    const std::vector<StepReport> reports = small.store->verify();
    ASSERT_EQ(reports.size(), 2u);
    EXPECT_TRUE(reports[0].newest && reports[0].record_valid && !reports[0].resumable);
    ASSERT_EQ(reports[0].damage.size(), 1u);
    EXPECT_EQ(reports[0].damage[0].part.group, 1);
    EXPECT_EQ(reports[0].damage[0].file_offset, at);
    EXPECT_EQ(reports[1].step, 0);
    // Two slots still hold the step before; the ring has overwritten it.
    EXPECT_EQ(reports[1].resumable, scheme == StoreScheme::two_slots);
  }
}

TEST(Store, FallsBackToTheRecordBefore) {
  Small small(StoreScheme::two_slots);
  small.make();
  small.step(0, 1);
  small.step(1, 2);
  const Geometry geometry(small.layout);
  small.disk.node("run/state").now[geometry.commit_at[0] + 30] ^= std::byte{4};  // sequence 2
  small.open();
  EXPECT_EQ(small.store->step(), 0);
  EXPECT_EQ(small.read(1, 0), IoCode::ok);
  EXPECT_EQ(small.value(), 1);
  EXPECT_FALSE(small.store->verify()[1].record_valid);
  small.store.reset();
  small.disk.node("run/state").now[geometry.commit_at[1] + 30] ^= std::byte{4};
  EXPECT_THROW(small.open(), Error);
}

TEST(Store, TellsWhatRemainsOfAStep) {
  Small small(StoreScheme::ring);
  small.make();
  small.step(0, 1);
  small.log_all(1);
  EXPECT_EQ(small.write(0, 0, 2), IoCode::ok);
  EXPECT_EQ(small.write(0, 1, 2), IoCode::ok);
  EXPECT_TRUE(small.store->finish_group(0).ok());
  small.open();
  ASSERT_TRUE(small.store->pending());
  EXPECT_EQ(small.store->pending()->step, 1);
  EXPECT_EQ(small.store->pending()->first_group, 1);
  EXPECT_EQ(small.read(0, 0), IoCode::ok);
  EXPECT_EQ(small.value(), 2);
  EXPECT_EQ(small.read(1, kLogExtent), IoCode::ok);
  EXPECT_EQ(small.value(), 8);
  EXPECT_TRUE(small.store->verify()[0].resumable);
  EXPECT_EQ(small.write(1, 0, 2), IoCode::ok);
  EXPECT_TRUE(small.store->finish_group(1).ok());
  EXPECT_EQ(small.store->commit(2, {}).code(), IoCode::invalid);  // the step of the log
  EXPECT_TRUE(small.store->commit(1, {}).ok());
  EXPECT_FALSE(small.store->pending());
}

TEST(Store, PausesOnAFullDiskAndStopsAfterAFailedSync) {
  Small small(StoreScheme::two_slots);
  small.make();
  small.step(0, 1);
  small.disk.set_faults({.no_space_from = 1, .no_space_until = 1000});
  EXPECT_EQ(small.write(1, 0, 2), IoCode::no_space);
  small.disk.set_faults({});
  EXPECT_EQ(small.write(1, 0, 2), IoCode::ok);
  EXPECT_TRUE(small.store->finish_group(1).ok());
  small.disk.set_faults({.no_space_from = 1, .no_space_until = 1000});
  EXPECT_EQ(small.store->commit(1, {}).code(), IoCode::no_space);
  small.disk.set_faults({});
  EXPECT_TRUE(small.store->commit(1, {}).ok());
  EXPECT_EQ(small.write(1, 0, 3), IoCode::ok);
  EXPECT_TRUE(small.store->finish_group(1).ok());
  small.disk.set_faults({.sync_error = 1});
  const StoreStatus failed = small.store->commit(2, {});
  EXPECT_EQ(failed.code(), IoCode::failed);
  EXPECT_EQ(small.store->error(failed).kind(), ErrorKind::Io);
  small.disk.set_faults({});
  EXPECT_EQ(small.write(1, 0, 3), IoCode::failed);
  EXPECT_EQ(small.store->commit(2, {}).code(), IoCode::failed);
  small.open();
  EXPECT_EQ(small.store->step(), 1);
  EXPECT_EQ(small.read(1, 0), IoCode::ok);
  EXPECT_EQ(small.value(), 2);
}

// The system tells such an error once: no sync after it would.
TEST(Store, StopsAfterAWriteBackThatFailed) {
  Small small(StoreScheme::two_slots);
  small.make();
  small.step(0, 1);
  small.disk.set_faults({.write_back_error = 1});
  EXPECT_EQ(small.write(1, 0, 2), IoCode::failed);
  small.disk.set_faults({});
  EXPECT_EQ(small.write(1, 0, 2), IoCode::failed);
  EXPECT_EQ(small.store->commit(1, {}).code(), IoCode::failed);
  small.open();
  EXPECT_EQ(small.store->step(), 0);
  EXPECT_EQ(small.read(1, 0), IoCode::ok);
  EXPECT_EQ(small.value(), 1);
}

TEST(Store, SaysHowMuchRoomIsMissing) {
  Small small(StoreScheme::two_slots);
  small.disk.set_free_bytes(1000);
  try {
    small.make();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory);
    const std::string text = error.what();
    const std::uint64_t needed = Geometry(small.layout).file_bytes;
    EXPECT_NE(text.find("got 1000 bytes free; expected " + std::to_string(needed)),
              std::string::npos)
        << text;
  }
}

TEST(Store, IsOneProcessOnlyAndNotCreatedTwice) {
  Small small(StoreScheme::ring);
  EXPECT_THROW(small.open(), Error);  // no store
  small.make();
  EXPECT_THROW((void)StateStore::create(small.disk, "run", small.layout, {}), Error);  // locked
  small.step(0, 1);
  EXPECT_THROW((void)StateStore::open(small.disk, "run", {}), Error);  // locked
  small.store.reset();
  EXPECT_TRUE(StateStore::exists(small.disk, "run"));
  EXPECT_THROW((void)StateStore::create(small.disk, "run", small.layout, {}), Error);  // exists
  small.open();
}

// Readers of the newest copies beside a writer that goes from step to step.
TEST(Store, ReadsWhileItWritesAndCommits) {
  const TempFolder folder;
  const auto disk = make_real_disk();
  StoreLayout layout;
  layout.groups = {{"still", {{"x", 8 * kPageBytes}}}, {"moving", {{"x", 8 * kPageBytes}}}};
  layout.block_bytes = 2 * kPageBytes;
  const auto store = StateStore::create(*disk, folder.path(), layout, {});
  AlignedBuffer written(8 * kPageBytes);
  const auto write = [&](int group, int value) {
    std::memset(written.data(), value, written.size());
    EXPECT_TRUE(store->wait(store->write({group, 0, 0, written.size()}, written.data())).ok());
    EXPECT_TRUE(store->finish_group(group).ok());
  };
  write(0, 77);
  write(1, 0);
  ASSERT_TRUE(store->commit(0, {}).ok());
  std::atomic<bool> stop = false;
  std::jthread reader([&] {
    AlignedBuffer memory(4 * kPageBytes);
    while (!stop) {
      const StorePart part{0, 0, 4 * kPageBytes, memory.size()};
      const StoreStatus status = store->wait(store->read(part, memory.data()));
      ASSERT_TRUE(status.ok()) << name_of(status.code());
      ASSERT_EQ(memory.data()[5], std::byte{77});
    }
  });
  for (int step = 1; step <= 20; ++step) {
    write(1, step);
    EXPECT_TRUE(store->commit(step, {}).ok());
  }
  stop = true;
}

}  // namespace
}  // namespace outsize
