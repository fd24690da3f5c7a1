// The same contract on std::thread, for builds whose sanitizer cannot see inside the OpenMP
// runtime. Threads are started per loop: slow, and simple enough to be checked by eye.
#include <omp.h>

#include <atomic>
#include <thread>
#include <vector>

#include "core/parallel.h"

namespace outsize {
namespace {

int threads = 0;

}  // namespace

int thread_count() {
  if (threads == 0) set_thread_count(static_cast<int>(std::thread::hardware_concurrency()));
  return threads;
}

void set_thread_count(int count) {
  threads = count < 1 ? 1 : count;
  omp_set_num_threads(
      1);  // oneDNN on one thread: its OpenMP barriers are invisible to the sanitizer
}

void parallel_for(std::int64_t n, std::int64_t grain, RangeBody body) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  std::atomic<std::int64_t> next{0};
  auto work = [&] {
    for (std::int64_t begin = next.fetch_add(grain); begin < n; begin = next.fetch_add(grain))
      body(begin, begin + grain < n ? begin + grain : n);
  };
  std::vector<std::thread> team;
  for (int i = 1; i < thread_count() && i * grain < n; ++i) team.emplace_back(work);
  work();
  for (std::thread& thread : team) thread.join();
}

}  // namespace outsize
