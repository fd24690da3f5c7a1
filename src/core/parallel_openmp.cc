// parallel_for on OpenMP, so that one team of threads serves our loops and oneDNN's.
#include <immintrin.h>
#include <omp.h>
#include <sched.h>

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
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static) nowait
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const std::int64_t begin = chunk * grain;
      body(begin, begin + grain < n ? begin + grain : n);
    }
    _mm_sfence();
  }
}

}  // namespace outsize
