#include "backends/cpu/transpose.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/streaming.h"

namespace outsize {
namespace {

// Every element of the result, and nothing beside it.
void expect_turned(std::int64_t rows, std::int64_t columns, std::int64_t offset) {
  SCOPED_TRACE(testing::Message() << rows << " x " << columns << ", offset " << offset);
  constexpr std::uint16_t kUntouched = 0xbeef;
  std::vector<std::uint16_t> from(static_cast<size_t>(rows * columns));
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::uint16_t>(i * 40503 >> 3);
  // `offset` elements behind the begin of a cache line.
  std::vector<std::uint16_t> memory(from.size() + 128, kUntouched);
  auto* base = memory.data();
  while (reinterpret_cast<std::uintptr_t>(base) % 64 != 0) ++base;
  std::uint16_t* to = base + offset;
  transpose_16_bit(from.data(), rows, columns, to);
  std::int64_t wrong = 0;
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c)
      wrong += to[c * rows + r] != from[static_cast<size_t>(r * columns + c)];
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(to[rows * columns], kUntouched);
  if (to > memory.data()) {
    EXPECT_EQ(to[-1], kUntouched);
  }
}

TEST(Transpose, AnyShapeAnyAddress) {
  for (const std::int64_t rows : {1, 7, 8, 31, 32, 33, 64, 100})
    for (const std::int64_t columns : {1, 5, 8, 32, 40, 127, 128, 129, 300})
      for (const std::int64_t offset : {0, 1, 16}) expect_turned(rows, columns, offset);
}

// Large results go past the caches where their lines are whole and caches are not shared.
TEST(Transpose, LargeResults) {
  const bool before = streams_results();
  for (const bool streams : {false, true}) {
    set_streams_results(streams);
    expect_turned(2048, 1040, 0);
    expect_turned(2048, 1040, 8);
    expect_turned(2050, 1041, 0);
  }
  set_streams_results(before);
}

TEST(Transpose, NothingToTurn) {
  transpose_16_bit(nullptr, 0, 0, nullptr);
  transpose_16_bit(nullptr, 0, 5, nullptr);
}

}  // namespace
}  // namespace outsize
