#include "train/matrix/hostile.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>

#include "core/rng.h"

namespace outsize::train_test {
namespace {

constexpr int kNan = 0xff;  // in every byte: a NaN in every floating dtype, -1 in integers

std::ptrdiff_t index_of(const Plan& plan, const Task& task) {
  return &task - plan.tasks.data();
}

std::set<int> buffers_of(const Task& task) {
  std::set<int> ids(task.reads.begin(), task.reads.end());
  ids.insert(task.writes.begin(), task.writes.end());
  return ids;
}

// Uses that are left, per buffer that the step makes; by any lane.
class Uses {
 public:
  explicit Uses(const Plan& plan) : of_step_(plan.buffers.size(), 0), left_(plan.buffers.size()) {
    for (const Task& task : plan.tasks)
      for (const int id : buffers_of(task)) ++of_step_[static_cast<size_t>(id)];
    for (size_t id = 0; id < left_.size(); ++id) left_[id] = of_step_[id];
  }

  // True: it was the last one.
  bool end(int id) {
    const auto index = static_cast<size_t>(id);
    if (left_[index].fetch_sub(1) > 1) return false;
    left_[index] = of_step_[index];  // of the next step
    return true;
  }

 private:
  std::vector<int> of_step_;
  std::vector<std::atomic<int>> left_;
};

}  // namespace

void allow_no_overlap(TrainingEngine& engine) {
  struct Turn {
    std::mutex mutex;
    std::condition_variable changed;
    std::ptrdiff_t next = 0;
  };
  for (Executor* executor : engine.executors()) {
    const auto turn = std::make_shared<Turn>();
    const Plan& plan = executor->plan();
    executor->before_task = [turn, &plan](const Task& task) {
      std::unique_lock lock(turn->mutex);
      turn->changed.wait(lock, [&] { return turn->next == index_of(plan, task); });
    };
    executor->after_task = [turn, &plan](const Task&) {
      const std::lock_guard lock(turn->mutex);
      turn->next = (turn->next + 1) % static_cast<std::ptrdiff_t>(plan.tasks.size());
      turn->changed.notify_all();
    };
  }
}

void delay_lanes(TrainingEngine& engine, std::uint64_t seed) {
  for (Executor* executor : engine.executors())
    executor->before_task = [&plan = executor->plan(), rng = Rng(seed, 0x736c6f77)](const Task& t) {
      const auto at = static_cast<std::uint64_t>(index_of(plan, t)) * 2;
      if (rng.below(at, 8) == 0)
        std::this_thread::sleep_for(std::chrono::microseconds(rng.below(at + 1, 400)));
    };
}

void poison_the_dead(TrainingEngine& engine) {
  for (Executor* executor : engine.executors()) {
    const auto uses = std::make_shared<Uses>(executor->plan());
    executor->after_task = [uses, executor](const Task& task) {
      for (const int id : buffers_of(task)) {
        const Buffer& buffer = executor->plan().buffers[static_cast<size_t>(id)];
        if (uses->end(id) && !buffer.persistent && buffer.extent.tier == Tier::host)
          std::memset(executor->buffer(id), kNan, static_cast<size_t>(buffer.extent.bytes));
      }
    };
  }
}

void poison_the_free(TrainingEngine& engine) {
  engine.settle();  // what is still written is not free
  std::vector<char> keep(static_cast<size_t>(engine.arena_bytes()), 0);
  char* arena = nullptr;
  for (const Executor* executor : engine.executors()) {
    if (&executor->program() != &engine.program()) continue;  // validation keeps nothing of its own
    const std::vector<Buffer>& buffers = executor->plan().buffers;
    for (size_t id = 0; id < buffers.size(); ++id) {
      const Buffer& buffer = buffers[id];
      if (!buffer.persistent || buffer.extent.tier != Tier::host) continue;
      if (buffer.kind == BufferKind::gradients && !engine.updates_wait()) continue;
      std::fill_n(keep.begin() + buffer.extent.offset, buffer.extent.bytes, 1);
      arena = static_cast<char*>(executor->buffer(static_cast<int>(id))) - buffer.extent.offset;
    }
  }
  for (size_t i = 0; i < keep.size(); ++i)
    if (!keep[i]) arena[i] = static_cast<char>(kNan);
}

}  // namespace outsize::train_test
