#include "core/room.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/file.h"

namespace outsize {
namespace {

TEST(Room, NobodyWaitsUnlessAsked) {
  EXPECT_FALSE(wait_for_room("file", 1));
  AppendFile full("/dev/full");
  EXPECT_THROW(full.write("record"), Error);
}

TEST(Room, AWriteIsTriedAgainUntilTheWaiterGivesUp) {
  int asked = 0;
  {
    const RoomWaiter waiter([&](const std::string& path, std::uint64_t bytes) {
      EXPECT_EQ(path, "/dev/full");
      EXPECT_EQ(bytes, 6u);
      return ++asked < 3;
    });
    AppendFile full("/dev/full");
    try {
      full.write("record");
      FAIL() << "written";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Io);
    }
    EXPECT_EQ(asked, 3);
    EXPECT_THROW(RoomWaiter([](const std::string&, std::uint64_t) { return true; }), Error);
  }
  EXPECT_FALSE(wait_for_room("file", 1));
  EXPECT_EQ(asked, 3);
}

}  // namespace
}  // namespace outsize
