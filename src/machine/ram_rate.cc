#include "machine/ram_rate.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "machine/host.h"

namespace outsize {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMinRepeats = 3;
constexpr int kMaxRepeats = 1000;
constexpr std::int64_t kMinArrayBytes = std::int64_t{8} << 20;
constexpr std::int64_t kMaxArrayBytes = std::int64_t{512} << 20;
constexpr std::int64_t kCacheTimes = 4;

// Seconds-limited repeats of one pass that moves `bytes`, in GB/s.
template <class Pass>
Rate repeat(double bytes, double seconds, Pass&& pass) {
  std::vector<double> samples;
  double elapsed = 0;
  while (static_cast<int>(samples.size()) < kMinRepeats ||
         (elapsed < seconds && static_cast<int>(samples.size()) < kMaxRepeats)) {
    const auto begin = Clock::now();
    pass();
    const double took = std::chrono::duration<double>(Clock::now() - begin).count();
    elapsed += took;
    samples.push_back(bytes / took / 1e9);
  }
  return summarise(samples);
}

// Several sums, so that the loads and not one chain of additions set the pace.
double sum_of(const double* values, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kLanes = 16;
  double lanes[kLanes] = {};
  std::int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += values[i + lane];
  double sum = 0;
  for (double lane : lanes) sum += lane;
  for (; i < end; ++i) sum += values[i];
  return sum;
}

struct Release {
  void operator()(double* values) const { std::free(values); }
};
using Array = std::unique_ptr<double[], Release>;

// In huge pages where the system gives them, as a plan's arena is: with small ones the processor's
// look-ups of addresses set the pace, not the memory.
Array make_array(std::size_t count) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const std::size_t bytes = (count * sizeof(double) + kHugePage - 1) / kHugePage * kHugePage;
  Array array(static_cast<double*>(std::aligned_alloc(kHugePage, bytes)));
  if (!array) throw std::bad_alloc();
  madvise(array.get(), bytes, MADV_HUGEPAGE);  // a hint: failure is harmless
  return array;
}

}  // namespace

std::int64_t ram_array_bytes(std::int64_t available_bytes) {
  const std::int64_t cache = std::max<std::int64_t>(::sysconf(_SC_LEVEL3_CACHE_SIZE), 0);
  const std::int64_t wanted =
      std::clamp(kCacheTimes * cache, std::int64_t{128} << 20, kMaxArrayBytes);
  return std::max(kMinArrayBytes, std::min(wanted, available_bytes / 8));
}

RamRates measure_ram(double seconds) {
  const std::int64_t available = meminfo_bytes("MemAvailable");
  return measure_ram(
      ram_array_bytes(std::min(control_group_limit().value_or(available), available)), seconds);
}

RamRates measure_ram(std::int64_t array_bytes, double seconds) {
  const std::int64_t count = std::max<std::int64_t>(array_bytes / 8, 1);
  const auto size = static_cast<std::size_t>(count);
  // One stream per thread: memory gives less to threads that take turns along one.
  const std::int64_t grain = (count + thread_count() - 1) / thread_count();
  try {
    const Array a = make_array(size);
    const Array b = make_array(size);
    const Array c = make_array(size);
    parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        a[i] = 0;
        b[i] = static_cast<double>(i);
        c[i] = 1;
      }
    });
    const double bytes = 8.0 * static_cast<double>(count);
    RamRates rates;
    std::atomic<double> sink = 0;  // the sums are used, so they are computed
    rates.read_gb_per_second = repeat(bytes, seconds, [&] {
      parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
        sink += sum_of(b.get(), begin, end);
      });
    });
    rates.copy_gb_per_second = repeat(2 * bytes, seconds, [&] {
      parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
        std::memcpy(a.get() + begin, b.get() + begin, static_cast<std::size_t>(end - begin) * 8);
      });
    });
    rates.triad_gb_per_second = repeat(3 * bytes, seconds, [&] {
      parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) a[i] = b[i] + 3.0 * c[i];
      });
    });
    return rates;
  } catch (const std::bad_alloc&) {
    fail(ErrorKind::OutOfMemory, "[ram] no room for three arrays; got {} bytes each", array_bytes);
  }
}

}  // namespace outsize
