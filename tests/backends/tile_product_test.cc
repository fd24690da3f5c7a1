#include "backends/cpu/tile_product.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "core/balance.h"
#include "core/half.h"
#include "core/isa.h"
#include "core/parallel.h"

namespace outsize {
namespace {

// Memory that begins at a cache line.
class Lines {
 public:
  explicit Lines(std::int64_t bytes) : memory_(static_cast<size_t>(bytes) + 64) {
    while (reinterpret_cast<std::uintptr_t>(memory_.data() + offset_) % 64 != 0) ++offset_;
  }
  void* data() { return memory_.data() + offset_; }

 private:
  std::vector<char> memory_;
  size_t offset_ = 0;
};

// Values before a page that must not be read.
class Guarded {
 public:
  template <class T>
  explicit Guarded(const std::vector<T>& values) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), bytes = values.size() * sizeof(T);
    const size_t room = (bytes + page - 1) / page * page;
    size_ = room + page;
    base_ = static_cast<char*>(
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_NE(base_, MAP_FAILED);
    EXPECT_EQ(mprotect(base_ + room, page, PROT_NONE), 0);
    data_ = base_ + room - bytes;
    std::memcpy(data_, values.data(), bytes);
  }
  ~Guarded() { munmap(base_, size_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  const void* data() const { return data_; }

 private:
  char *base_, *data_;
  size_t size_;
};

bool is_f32(const MatmulSpec& x) {
  return x.operand == DType::f32;
}

std::vector<bf16> narrowed(const std::vector<float>& values) {
  std::vector<bf16> narrow;
  for (const float value : values) narrow.push_back(to_bf16(value));
  return narrow;
}

// Values that the operands' dtype can hold.
struct Operands {
  std::vector<float> a, b, bias, c;

  explicit Operands(const MatmulSpec& x) {
    std::mt19937 random(static_cast<unsigned>(x.m * 31 + x.n * 7 + x.k));
    std::normal_distribution<float> normal;
    const auto fill = [&](std::int64_t count, auto convert, auto& values) {
      for (std::int64_t i = 0; i < count; ++i) values.push_back(convert(normal(random)));
    };
    const auto same = [](float value) { return value; };
    const auto narrow = [](float value) { return to_f32(to_bf16(value)); };
    fill(x.m * x.k, is_f32(x) ? +same : +narrow, a);
    fill(x.k * x.n, is_f32(x) ? +same : +narrow, b);
    fill(x.n, same, bias);
    fill(x.m * x.n, same, c);
  }
};

// c as f32, whatever it is; the element behind it must stay. It begins `offset` bytes into a line.
std::vector<float> product(const MatmulSpec& x, const Operands& from, std::int64_t offset = 0) {
  const TileProduct tiles(x);
  Lines workspace(tiles.workspace_bytes());
  const auto count = static_cast<size_t>(x.m * x.n);
  std::vector<float> c = from.c;
  c.push_back(9.0f);
  std::vector<bf16> narrow(count + 1, to_bf16(9.0f));
  Lines wide(static_cast<std::int64_t>(c.size() * sizeof(float)) + offset);
  char* wide_data = static_cast<char*>(wide.data()) + offset;
  std::memcpy(wide_data, c.data(), c.size() * sizeof(float));
  void* to = x.result == DType::bf16 ? static_cast<void*>(narrow.data()) : wide_data;
  const Guarded a = is_f32(x) ? Guarded(from.a) : Guarded(narrowed(from.a));
  const Guarded b = is_f32(x) ? Guarded(from.b) : Guarded(narrowed(from.b));
  tiles.run(a.data(), b.data(), x.bias ? from.bias.data() : nullptr, to, workspace.data());
  std::memcpy(c.data(), wide_data, c.size() * sizeof(float));
  for (size_t i = 0; x.result == DType::bf16 && i <= count; ++i) c[i] = to_f32(narrow[i]);
  EXPECT_EQ(c.back(), 9.0f);
  c.pop_back();
  return c;
}

double element(const std::vector<float>& matrix, std::int64_t row, std::int64_t column,
               std::int64_t rows, std::int64_t columns, bool transposed) {
  const std::int64_t at = transposed ? column * rows + row : row * columns + column;
  return double{matrix[static_cast<size_t>(at)]};
}

// Against double precision: within the rounding of k additions in f32, and of the result.
void expect_right(const MatmulSpec& x) {
  SCOPED_TRACE(testing::Message() << name_of(x.operand) << " " << x.m << " x " << x.n << " x "
                                  << x.k << " to " << name_of(x.result)
                                  << (x.transpose_a ? ", a turned" : "")
                                  << (x.transpose_b ? ", b turned" : "") << (x.bias ? ", bias" : "")
                                  << (x.accumulate ? ", accumulates" : ""));
  const Operands from(x);
  const std::vector<float> c = product(x, from);
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < x.m; ++i)
    for (std::int64_t j = 0; j < x.n; ++j) {
      const auto at = static_cast<size_t>(i * x.n + j);
      double sum = 0;
      if (x.bias) sum += double{from.bias[static_cast<size_t>(j)]};
      if (x.accumulate) sum += double{from.c[at]};
      double size = std::abs(sum);
      for (std::int64_t t = 0; t < x.k; ++t) {
        const double term = element(from.a, i, t, x.m, x.k, x.transpose_a) *
                            element(from.b, t, j, x.k, x.n, x.transpose_b);
        sum += term;
        size += std::abs(term);
      }
      const double rounding = x.result == DType::bf16 ? std::abs(sum) / 256 : 0;
      wrong += !(std::abs(double{c[at]} - sum) <= rounding + size * 0x1p-21);
    }
  EXPECT_EQ(wrong, 0);
}

// Every way the operands can lie, and both dtypes they can have. Small products of f32 are left to
// its own units.
void expect_right_any_way(MatmulSpec x) {
  for (const DType operand : {DType::bf16, DType::f32})
    for (const bool transpose_a : {false, true})
      for (const bool transpose_b : {false, true}) {
        x.operand = operand;
        x.transpose_a = transpose_a;
        x.transpose_b = transpose_b;
        const bool runs = operand == DType::bf16 || std::min(x.m, x.n) >= 16;
        EXPECT_EQ(TileProduct::runs(x), runs);
        if (runs) expect_right(x);
      }
}

class TileProductTest : public testing::Test {
 protected:
  void SetUp() override {
    if (active_isa() != Isa::amx) GTEST_SKIP() << "this processor has no tile registers";
  }
};

TEST_F(TileProductTest, AnyShape) {
  for (const std::int64_t m : {1, 16, 31, 32, 33, 70})
    for (const std::int64_t n : {1, 15, 32, 33, 100})
      for (const std::int64_t k : {1, 2, 31, 32, 33, 64, 100})
        expect_right_any_way({.m = m, .n = n, .k = k});
}

TEST_F(TileProductTest, ManyStrips) {
  expect_right_any_way({.m = 2100, .n = 300, .k = 40});
  expect_right_any_way({.m = 150, .n = 1500, .k = 50});
}

TEST_F(TileProductTest, SumsInSeveralRuns) {
  for (const std::int64_t k : {2049, 4100, 6200}) expect_right_any_way({.m = 50, .n = 70, .k = k});
  expect_right_any_way({.m = 32, .n = 32, .k = 8192});
  expect_right_any_way({.m = 70, .n = 40, .k = 4096, .result = DType::bf16});
}

TEST_F(TileProductTest, EveryKindOfResult) {
  for (const std::int64_t k : {40, 2100})
    for (const auto& [m, n] : {std::pair{65, 50}, std::pair{50, 65}, std::pair{8, 100}}) {
      expect_right_any_way({.m = m, .n = n, .k = k, .bias = true});
      expect_right_any_way({.m = m, .n = n, .k = k, .accumulate = true});
      expect_right_any_way({.m = m, .n = n, .k = k, .result = DType::bf16, .bias = true});
    }
}

// Rows a multiple of 4 KiB apart are copied.
TEST_F(TileProductTest, RowsThatShareAPlaceInTheCache) {
  expect_right_any_way({.m = 70, .n = 40, .k = 2048});
}

TEST_F(TileProductTest, ResultsPastTheCachesAreTheSame) {
  for (const DType operand : {DType::bf16, DType::f32})
    for (const bool turned : {false, true})
      for (const std::int64_t n : {64, 50}) {
        MatmulSpec x{.m = 600, .n = n, .k = 70, .operand = operand, .transpose_a = turned};
        const Operands from(x);
        const std::vector<float> expected = product(x, from);
        x.past_caches = true;
        for (const std::int64_t offset : {0, 4}) EXPECT_EQ(product(x, from, offset), expected);
      }
}

// Few rows are shared out otherwise, but every sum is taken alike.
TEST_F(TileProductTest, SameBitsWithAnyNumberOfRows) {
  for (const DType operand : {DType::bf16, DType::f32}) {
    MatmulSpec x{.m = 200, .n = 160, .k = 2100, .operand = operand, .transpose_b = true};
    Operands from(x);
    std::vector<float> expected = product(x, from);
    x.m = 20;
    expected.resize(static_cast<size_t>(x.m * x.n));
    from.a.resize(static_cast<size_t>(x.m * x.k));
    from.c.resize(expected.size());
    EXPECT_EQ(product(x, from), expected) << name_of(operand);
  }
}

// What is left out of one term, and the rounding of its six products' sums.
TEST_F(TileProductTest, OneTermOfF32IsRightToItsLastBits) {
  const MatmulSpec x{.m = 200, .n = 200, .k = 1};
  const Operands from(x);
  const std::vector<float> c = product(x, from);
  float worst = 0;
  for (size_t i = 0; i < 200; ++i)
    for (size_t j = 0; j < 200; ++j) {
      const float expected = from.a[i] * from.b[j];
      worst = std::max(worst, std::abs(c[i * 200 + j] - expected) / std::abs(expected));
    }
  EXPECT_LE(worst, 0x1p-22f);
}

TEST_F(TileProductTest, F32KeepsWhatIsNotANumber) {
  const MatmulSpec x{.m = 40, .n = 40, .k = 40};
  Operands from(x);
  const float all_bits = std::bit_cast<float>(0x7fffffffu);
  from.a[3] = std::numeric_limits<float>::infinity();
  from.a[40 + 7] = std::numeric_limits<float>::quiet_NaN();
  from.a[80 + 7] = all_bits;
  const std::vector<float> c = product(x, from);
  for (size_t j = 0; j < 40; ++j) {
    for (const size_t row : {0u, 1u, 2u}) EXPECT_FALSE(std::isfinite(c[row * 40 + j])) << row;
    EXPECT_TRUE(std::isfinite(c[3 * 40 + j]));
  }
}

TEST_F(TileProductTest, SameBitsWithAnyNumberOfThreads) {
  const int before = thread_count();
  for (const MatmulSpec& x :
       {MatmulSpec{.m = 300, .n = 200, .k = 2500, .operand = DType::bf16},
        MatmulSpec{.m = 200, .n = 900, .k = 100, .operand = DType::bf16, .transpose_a = true},
        MatmulSpec{.m = 900, .n = 200, .k = 100, .operand = DType::bf16, .transpose_a = true},
        MatmulSpec{.m = 300, .n = 1200, .k = 500}}) {
    const Operands from(x);
    set_thread_count(1);
    const std::vector<float> one = product(x, from);
    for (const int threads : {2, 3, 7}) {
      set_thread_count(threads);
      EXPECT_EQ(product(x, from), one) << threads;
    }
  }
  set_thread_count(before);
}

// A thread that was fast takes part of a strip that was another's.
TEST_F(TileProductTest, SameBitsHoweverThreadsShareTheWork) {
  const int before = thread_count();
  for (const MatmulSpec& x :
       {MatmulSpec{.m = 300, .n = 1200, .k = 300, .operand = DType::bf16},
        MatmulSpec{.m = 300, .n = 1200, .k = 1100, .operand = DType::bf16, .accumulate = true},
        MatmulSpec{.m = 4096, .n = 200, .k = 40, .operand = DType::bf16, .bias = true},
        MatmulSpec{.m = 900, .n = 200, .k = 100, .operand = DType::bf16, .transpose_a = true},
        MatmulSpec{.m = 600, .n = 640, .k = 70, .operand = DType::bf16, .past_caches = true},
        MatmulSpec{.m = 300, .n = 1200, .k = 500}}) {
    const Operands from(x);
    set_thread_count(1);
    const std::vector<float> one = product(x, from);
    for (const int threads : {2, 5})
      for (const double speed : {0.1, 0.5, 0.8, 1.3, 5.0}) {
        set_thread_count(threads);
        team_balance() = Balance(threads);
        for (int loop = 0; loop < 50; ++loop) {
          for (Balance::Done& done : team_balance().done()) done = {.work = 1, .seconds = 1};
          team_balance().done()[0].work = speed;
          team_balance().learn();
        }
        EXPECT_EQ(product(x, from), one)
            << x.m << " x " << x.n << ", " << threads << " threads, " << speed;
      }
  }
  set_thread_count(before);
}

}  // namespace
}  // namespace outsize
