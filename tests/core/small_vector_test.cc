// A small vector does what std::vector does, before and after its first allocation.
#include "core/small_vector.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace outsize {
namespace {

using Small = SmallVector<int, 3>;

void expect_equal(const Small& small, const std::vector<int>& large) {
  ASSERT_EQ(std::vector<int>(small.begin(), small.end()), large);
  ASSERT_EQ(small.size(), large.size());
  ASSERT_EQ(small.empty(), large.empty());
}

TEST(SmallVector, DoesWhatAVectorDoes) {
  std::mt19937 random(1);
  Small small;
  std::vector<int> large;
  for (int i = 0; i < 20000; ++i) {
    const auto pick = [&](size_t end) { return static_cast<std::ptrdiff_t>(random() % end); };
    switch (random() % 8) {
      case 0: {
        if (large.empty()) break;
        const auto at = pick(large.size());
        small.erase(small.begin() + at);
        large.erase(large.begin() + at);
        break;
      }
      case 1: {
        const auto first = pick(large.size() + 1);
        const auto last = first + pick(large.size() + 1 - static_cast<size_t>(first));
        small.erase(small.begin() + first, small.begin() + last);
        large.erase(large.begin() + first, large.begin() + last);
        break;
      }
      case 2: {
        const std::vector<int> more(static_cast<size_t>(pick(6)), i);
        small.append(more.begin(), more.end());
        large.insert(large.end(), more.begin(), more.end());
        break;
      }
      case 3: {
        Small copy = small, moved = std::move(small);
        EXPECT_EQ(copy, moved);
        small = random() % 2 == 0 ? copy : std::move(moved);
        break;
      }
      case 4:
        if (large.empty()) break;
        small.push_back(small.front());
        large.push_back(large.front());
        break;
      default:
        small.push_back(i);
        large.push_back(i);
    }
    expect_equal(small, large);
  }
}

TEST(SmallVector, IsEmptyAfterItWasMoved) {
  for (const int count : {2, 9}) {
    Small list;
    for (int i = 0; i < count; ++i) list.push_back(i);
    Small taken;
    taken = std::move(list);
    EXPECT_EQ(taken.size(), static_cast<size_t>(count));
    EXPECT_TRUE(list.empty());  // NOLINT(bugprone-use-after-move): that is what is promised
    list.push_back(7);
    EXPECT_EQ(list, (Small{7}));
  }
}

}  // namespace
}  // namespace outsize
