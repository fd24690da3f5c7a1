// When reads begin: ahead of their tasks, within the window, and further where RAM is free.
#include "plan/task_list.h"

#include <gtest/gtest.h>

#include <string>

namespace outsize {
namespace {

// Four tasks, each of which needs a page that is read for it alone. The list as text: "r" for a
// read and "t" for a task.
std::string listed(const Window& window) {
  Plan plan;
  TaskList tasks;
  for (int t = 0; t < 4; ++t) {
    for (const Tier tier : {Tier::scratch, Tier::host}) {
      plan.buffers.push_back({"page", BufferKind::workspace, {tier, 0, kMovedAlignment}});
      plan.buffers.back().moved = true;
    }
    Task task;
    task.reads = {2 * t + 1};
    const Move page{2 * t, 2 * t + 1, 0, 0, kMovedAlignment};
    tasks.read_first(-1, {&page, 1});
    tasks.add(std::move(task));
  }
  tasks.emit(plan, window);
  std::string text;
  for (const Task& task : plan.tasks) text += task.kind == TaskKind::read ? 'r' : 't';
  return text;
}

TEST(TaskList, ReadsOneAheadOfTheTaskAtWork) {
  EXPECT_EQ(listed({.read_ahead_bytes = kMovedAlignment}), "rrtrtrtt");
}

TEST(TaskList, ReadsFurtherAheadInALargerWindow) {
  EXPECT_EQ(listed({.read_ahead_bytes = 2 * kMovedAlignment}), "rrrtrttt");
}

TEST(TaskList, ReadsWhenNeededWhatIsLargerThanTheWindow) {
  EXPECT_EQ(listed({.read_ahead_bytes = kMovedAlignment - 1}), "rtrtrtrt");
}

TEST(TaskList, ReadsFurtherAheadWhereRamIsFree) {
  EXPECT_EQ(listed({.read_ahead_bytes = 0, .fill_bytes = 100 * kMovedAlignment}), "rrrrtttt");
}

// Four tasks, each of which leaves a page that is written. Per page: is it held until the end?
std::string held_until_the_end(const Window& window, bool carries) {
  Plan plan;
  plan.carries = carries;
  TaskList tasks;
  for (int t = 0; t < 4; ++t) {
    for (const Tier tier : {Tier::host, Tier::store}) {
      plan.buffers.push_back({"page", BufferKind::optimizer, {tier, 0, kMovedAlignment}});
      plan.buffers.back().moved = true;
    }
    Task task;
    task.writes = {2 * t};
    tasks.add(std::move(task));
    const Move page{2 * t, 2 * t + 1, 0, 0, kMovedAlignment};
    tasks.write_after({&page, 1});
  }
  const std::vector<int> hold = tasks.emit(plan, window);
  std::string text;
  for (int t = 0; t < 4; ++t)
    text += hold[static_cast<size_t>(2 * t)] + 1 == static_cast<int>(plan.tasks.size()) ? 'h' : '-';
  return text;
}

TEST(TaskList, TheLastWritesLagWhereTheyAreCarriedAndRamIsFree) {
  constexpr std::int64_t kPage = kMovedAlignment;
  EXPECT_EQ(held_until_the_end({.write_behind_bytes = kPage}, true), "---h");
  EXPECT_EQ(held_until_the_end({.write_behind_bytes = kPage, .fill_bytes = 4 * kPage}, false),
            "---h");
  EXPECT_EQ(held_until_the_end({.write_behind_bytes = kPage, .fill_bytes = 4 * kPage}, true),
            "hhhh");
  EXPECT_EQ(held_until_the_end({.write_behind_bytes = kPage, .fill_bytes = 3 * kPage}, true),
            "-hhh");
}

}  // namespace
}  // namespace outsize
