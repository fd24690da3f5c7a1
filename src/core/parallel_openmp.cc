// parallel_for on OpenMP, so that one team of threads serves our loops and oneDNN's.
#include <immintrin.h>
#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>

#include "core/error.h"
#include "core/parallel.h"

namespace outsize {
namespace {

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

int threads = 0;

// Neighbouring chunks that one thread takes from the front; whoever has none left takes from
// behind.
class alignas(64) Run {
 public:
  void set(std::uint32_t begin, std::uint32_t end) { left_ = pack(begin, end); }
  // -1: none left.
  std::int64_t take_first() {
    std::uint64_t left = left_.load(std::memory_order_relaxed);
    while (begin_of(left) < end_of(left))
      if (left_.compare_exchange_weak(left, pack(begin_of(left) + 1, end_of(left))))
        return begin_of(left);
    return -1;
  }
  std::int64_t take_last() {
    std::uint64_t left = left_.load(std::memory_order_relaxed);
    while (begin_of(left) < end_of(left))
      if (left_.compare_exchange_weak(left, pack(begin_of(left), end_of(left) - 1)))
        return end_of(left) - 1;
    return -1;
  }

 private:
  static std::uint64_t pack(std::uint32_t begin, std::uint32_t end) {
    return std::uint64_t{begin} << 32 | end;
  }
  static std::uint32_t begin_of(std::uint64_t left) {
    return static_cast<std::uint32_t>(left >> 32);
  }
  static std::uint32_t end_of(std::uint64_t left) { return static_cast<std::uint32_t>(left); }

  std::atomic<std::uint64_t> left_;
};

// More share a run.
constexpr int kMostRuns = 64;

}  // namespace

int thread_count() {
  if (threads == 0) set_thread_count(available_cores());
  return threads;
}

void set_thread_count(int count) {
  threads = count < 1 ? 1 : count;
  omp_set_num_threads(threads);
}

void parallel_for(std::int64_t n, std::int64_t grain, RangeBody body) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  const std::int64_t chunks = (n + grain - 1) / grain;
  if (chunks == 1 || thread_count() == 1) {
    for (std::int64_t begin = 0; begin < n; begin += grain)
      body(begin, begin + grain < n ? begin + grain : n);
    _mm_sfence();
    return;
  }
  ensure(chunks <= std::numeric_limits<std::uint32_t>::max(), "[parallel] {} chunks", chunks);
  const int runs = std::min(threads, kMostRuns);
  std::array<Run, kMostRuns> left;
  for (int r = 0; r < runs; ++r)
    left[static_cast<size_t>(r)].set(static_cast<std::uint32_t>(chunks * r / runs),
                                     static_cast<std::uint32_t>(chunks * (r + 1) / runs));
#pragma omp parallel num_threads(threads)
  {
    const auto run_chunk = [&](std::int64_t chunk) {
      const std::int64_t begin = chunk * grain;
      body(begin, begin + grain < n ? begin + grain : n);
    };
    const int own = omp_get_thread_num() % runs;
    for (std::int64_t c; (c = left[static_cast<size_t>(own)].take_first()) >= 0;) run_chunk(c);
    for (int next = 1; next < runs; ++next) {
      Run& other = left[static_cast<size_t>((own + next) % runs)];
      for (std::int64_t c; (c = other.take_last()) >= 0;) run_chunk(c);
    }
    _mm_sfence();
  }
}

}  // namespace outsize
