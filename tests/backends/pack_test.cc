#include "backends/cpu/pack.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "core/streaming.h"

namespace outsize {
namespace {

constexpr std::int64_t kPanel = 64;

// Memory that begins at a cache line, with something known behind it.
class Lines {
 public:
  explicit Lines(std::int64_t bytes)
      : memory_(static_cast<size_t>(bytes) + 128, kUntouched), bytes_(bytes) {
    while (reinterpret_cast<std::uintptr_t>(data()) % 64 != 0) ++offset_;
  }
  char* data() { return memory_.data() + offset_; }
  bool end_is_untouched() { return data()[bytes_] == kUntouched; }

 private:
  static constexpr char kUntouched = 0x5a;
  std::vector<char> memory_;
  std::int64_t bytes_;
  size_t offset_ = 0;
};

// Element (row, column) of [k,n] as the layout places it; each row of words holds `each` rows.
template <class T>
T at(const T* packed, std::int64_t words, std::int64_t row, std::int64_t column) {
  constexpr std::int64_t kEach = 4 / sizeof(T);
  const std::int64_t word = (column / kPanel * words + row / kEach) * kPanel + column % kPanel;
  return packed[word * kEach + row % kEach];
}

// Every element and every filling zero, and nothing beside them.
template <class T>
void expect_packed_so(DType dtype, std::int64_t k, std::int64_t n, bool transposed) {
  SCOPED_TRACE(testing::Message() << name_of(dtype) << " " << k << " x " << n
                                  << (transposed ? " transposed" : "")
                                  << (streams_results() ? " past the caches" : ""));
  std::vector<T> from(static_cast<size_t>(k * n));
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<T>((i * 2654435761u >> 5) | 1u);
  const std::int64_t bytes = packed_bytes(k, n, dtype);
  constexpr std::int64_t kEach = 4 / sizeof(T);
  const std::int64_t words = ((k + kEach - 1) / kEach + 15) / 16 * 16;
  const std::int64_t columns = (n + kPanel - 1) / kPanel * kPanel;
  ASSERT_EQ(bytes, words * columns * 4);
  Lines to(bytes);
  pack(from.data(), k, n, dtype, transposed, to.data());
  const T* packed = reinterpret_cast<const T*>(to.data());
  std::int64_t wrong = 0;
  for (std::int64_t row = 0; row < words * kEach; ++row)
    for (std::int64_t column = 0; column < columns; ++column) {
      const std::int64_t source = transposed ? column * k + row : row * n + column;
      const T expected = row < k && column < n ? from[static_cast<size_t>(source)] : T{0};
      wrong += at(packed, words, row, column) != expected;
    }
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(to.end_is_untouched());
}

template <class T>
void expect_packed(DType dtype, std::int64_t k, std::int64_t n, bool transposed) {
  const bool before = streams_results();
  for (const bool streams : {false, true}) {
    set_streams_results(streams);
    expect_packed_so<T>(dtype, k, n, transposed);
  }
  set_streams_results(before);
}

TEST(Pack, AnyShape) {
  for (const bool transposed : {false, true})
    for (const std::int64_t k : {1, 2, 15, 31, 32, 33, 64, 100, 129})
      for (const std::int64_t n : {1, 15, 16, 17, 63, 64, 65, 130, 200}) {
        expect_packed<std::uint16_t>(DType::bf16, k, n, transposed);
        expect_packed<std::uint32_t>(DType::f32, k, n, transposed);
      }
}

TEST(Pack, ManyPanelsOnAllThreads) {
  for (const bool transposed : {false, true}) {
    expect_packed<std::uint16_t>(DType::bf16, 1030, 1105, transposed);
    expect_packed<std::uint32_t>(DType::f32, 515, 1105, transposed);
  }
}

TEST(Pack, NothingToPack) {
  EXPECT_EQ(packed_bytes(0, 5, DType::bf16), 0);
  EXPECT_EQ(packed_bytes(5, 0, DType::f32), 0);
  for (const bool transposed : {false, true}) {
    pack(nullptr, 0, 5, DType::bf16, transposed, nullptr);
    pack(nullptr, 5, 0, DType::f32, transposed, nullptr);
  }
}

}  // namespace
}  // namespace outsize
