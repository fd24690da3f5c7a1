// What is carried from one run into the next: who waits for it, and where its failure comes out.
#include "exec/lanes.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <stdexcept>

namespace outsize {
namespace {

enum Number { commit, first, last, write };

// A commit, two tasks of the processor, and a write that the next run's second one waits for.
Plan carrying_plan() {
  Plan plan;
  plan.carries = true;
  plan.tasks.resize(4);
  plan.tasks[commit] = {.kind = TaskKind::commit, .resource = Resource::disk_write};
  plan.tasks[last].after_previous = write;
  plan.tasks[write] = {.kind = TaskKind::write, .resource = Resource::disk_write, .after = {last}};
  return plan;
}

TEST(Lanes, ARunEndsBeforeItsLastWrites) {
  const Plan plan = carrying_plan();
  std::promise<void> disk;
  std::shared_future<void> disk_is_free(disk.get_future());
  std::promise<void> began;
  std::atomic<int> written{0}, seen{-1};
  Lanes lanes(plan, [&](int task, std::uint64_t run) {
    if (task == write && run == 1) disk_is_free.wait();
    if (task == write) ++written;
    if (task == first && run == 2) began.set_value();
    if (task == last && run == 2) seen = written.load();
  });
  lanes.run();
  EXPECT_EQ(written, 0);
  auto next = std::async(std::launch::async, [&] { lanes.run(); });
  began.get_future().wait();  // beside the write
  EXPECT_EQ(written, 0);
  disk.set_value();
  next.get();
  EXPECT_EQ(seen, 1) << "a task did not wait for the run before";
  lanes.settle();
  EXPECT_EQ(written, 2);
  EXPECT_EQ(lanes.runs(), 2u);
}

// Its commit is late, and must not take what is meant for the next run.
TEST(Lanes, ATaskThatIsLateSaysWhichRunItIsOf) {
  Plan plan = carrying_plan();
  std::promise<void> disk;
  std::shared_future<void> disk_is_free(disk.get_future());
  std::atomic<std::uint64_t> late{0};
  Lanes lanes(plan, [&](int task, std::uint64_t run) {
    if (task != commit || late != 0) return;
    disk_is_free.wait();
    late = run;
  });
  lanes.run();
  EXPECT_EQ(late, 0u);
  disk.set_value();
  lanes.run();
  lanes.settle();
  EXPECT_EQ(late, 1u);
}

// Whether it has failed before the next run begins, or within it.
TEST(Lanes, AFailureOfTheLastWritesComesOutLaterAndCommitsNothing) {
  for (const bool at_once : {true, false}) {
    const Plan plan = carrying_plan();
    std::promise<void> disk;
    std::shared_future<void> disk_is_free(disk.get_future());
    std::atomic<int> commits{0}, writes{0};
    Lanes lanes(plan, [&](int task, std::uint64_t run) {
      if (task == commit) ++commits;
      if (task == first && run == 2) disk.set_value();
      if (task != write) return;
      if (run == 1 && !at_once) disk_is_free.wait();
      if (run == 1) throw std::runtime_error("the disk is gone");
      ++writes;
    });
    lanes.run();
    EXPECT_THROW(at_once ? lanes.settle() : lanes.run(), std::runtime_error);
    EXPECT_EQ(commits, 1) << "a run was committed whose writes had failed";
    EXPECT_EQ(writes, 0);
    EXPECT_NO_THROW(lanes.settle());
  }
}

}  // namespace
}  // namespace outsize
