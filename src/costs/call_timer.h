// Times one op call, or any other work, on memory made for it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "graph/op.h"

namespace outsize {

// 64-byte aligned memory. Throws OutOfMemory.
class TimerMemory {
 public:
  explicit TimerMemory(std::int64_t bytes);
  ~TimerMemory();
  TimerMemory(TimerMemory&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
  TimerMemory& operator=(TimerMemory&&) = delete;
  char* data() const { return data_; }

 private:
  char* data_;
};

// Fills an integer input of `type`. `turn` seeds what is drawn.
using FillIntegers =
    std::function<void(const ValueType& type, std::uint64_t turn, std::int32_t* data)>;

// Lower quartile of the seconds of at least `repeats` launches after one more, by the kernel that
// training would use. Operands rotate through sets that together exceed the caches: within a step,
// too, most of what an op reads was written by others a while ago. Throws Internal when the kernel
// fails.
double time_call(const OpCall& call, const FillIntegers& fill, int repeats);

// The same for any work; `turn` counts from 0 so that it can rotate its memory. `prepare`, which
// may be empty, goes before it and is not timed.
double time_work(const std::function<void(int turn)>& work, int repeats,
                 const std::function<void(int turn)>& prepare = {});

// How many sets of `bytes` the rotation takes.
int rotation_sets(std::int64_t bytes);

}  // namespace outsize
