// Times one op call, or any other work, on memory made for it.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "graph/op.h"

namespace outsize {

// Zero or more bytes in huge pages, as an arena lies. Throws OutOfMemory.
class TimerMemory {
 public:
  explicit TimerMemory(std::int64_t bytes);
  ~TimerMemory();
  TimerMemory(TimerMemory&& other) noexcept : data_(other.data_), bytes_(other.bytes_) {
    other.data_ = nullptr;
  }
  TimerMemory& operator=(TimerMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  char* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }

 private:
  char* data_;
  std::int64_t bytes_;
};

// Fills an integer input of `type`. `turn` seeds what is drawn.
using FillIntegers =
    std::function<void(const ValueType& type, std::uint64_t turn, std::int32_t* data)>;

// Where the first input of an op lies when the op's turn comes within a step; everything else was
// written past the caches just before, or long ago. Where one cache serves all cores, nothing goes
// past it (core/streaming.h): first input and results then stay in it.
enum class Left {
  past_caches,              // as vector kernels leave what they write
  by_product,               // mostly in the caches of the cores that will read it
  by_product_with_table,    // always so, and the second input was read a moment ago
  by_attention_with_table,  // in caches, but of cores that took heads, not rows
  long_ago,                 // as all else that the op finds: it stands at an end of the step
};

// A call that stands for an op at a size.
struct OpSample {
  OpCall call;
  FillIntegers fill;  // of its integer inputs
  Left left = Left::past_caches;
};

// Times op calls by the kernels that training would use, on operands as they lie within a step: in
// huge pages, and where Left says.
class CallTimer {
 public:
  // Takes `cache_bytes` of memory, which should be more than caches hold. Throws OutOfMemory.
  explicit CallTimer(std::int64_t cache_bytes);

  // Seconds of a launch, of at least `repeats` after one more. At most one operand may be larger
  // than `cache_bytes`. Throws OutOfMemory, and Internal when the kernel fails.
  double seconds(const OpSample& sample, int repeats);

 private:
  TimerMemory others_;  // what else fills the caches
  TimerMemory table_;   // stands for the largest operand of one call after the other
};

// Lower quartile of the seconds of any work, at least `repeats` times after once more; `turn`
// counts from 0 so that it can rotate its memory.
double time_work(const std::function<void(int turn)>& work, int repeats);

// How many sets of `bytes` the rotation takes.
int rotation_sets(std::int64_t bytes);

}  // namespace outsize
