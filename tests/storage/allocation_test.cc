// A store that has been made takes no memory any more, whatever is read, written and committed.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "storage/real_disk.h"
#include "storage/store.h"
#include "storage/temp_folder.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {
std::atomic<int> news = 0;
}  // namespace

// Of the whole test program; gcc sees through the pair and takes it for a mismatch.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
void* operator new(std::size_t bytes) {
  ++news;
  // tidy: allow banned: what operator new is made of
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace outsize {
namespace {

constexpr std::uint64_t kBytes = 64 * kPageBytes;

void one_step(StateStore& store, AlignedBuffer& memory, bool with_log, std::int64_t step) {
  const auto move = [&](int group, int extent, bool write) {
    const StorePart part{group, extent, 0, kBytes};
    const StoreStatus status =
        store.wait(write ? store.write(part, memory.data()) : store.read(part, memory.data()));
    ASSERT_TRUE(status.ok());
  };
  if (with_log) {
    for (int g = 0; g < 2; ++g) move(g, kLogExtent, true);
    ASSERT_TRUE(store.seal_log(step, {memory.data(), 100}).ok());
  }
  for (int g = 0; g < 2; ++g) {
    if (step > 0) move(g, 0, false);
    move(g, 0, true);
    ASSERT_TRUE(store.finish_group(g).ok());
  }
  ASSERT_TRUE(store.commit(step, {memory.data(), 100}).ok());
}

TEST(Allocation, NoneInAStep) {
  for (const StoreScheme scheme : {StoreScheme::two_slots, StoreScheme::ring})
    for (const bool uring : {true, false}) {
      const TempFolder folder;
      const auto disk = make_real_disk({.uring = uring});
      StoreLayout layout;
      layout.scheme = scheme;
      layout.block_bytes = 16 * kPageBytes;
      layout.groups = {{"a", {{"x", kBytes}}, {kBytes}}, {"b", {{"x", kBytes}}, {kBytes}}};
      const auto store = StateStore::create(*disk, folder.path(), layout, {});
      AlignedBuffer memory(kBytes);
      one_step(*store, memory, false, 0);  // renames the file: names are strings
      const int before = news;
      for (int step = 1; step < 5; ++step)
        one_step(*store, memory, scheme == StoreScheme::ring, step);
      EXPECT_EQ(news, before);
    }
}

}  // namespace
}  // namespace outsize

#endif
