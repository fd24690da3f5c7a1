// Counts large allocations of the whole process, libraries included: this program has its own
// malloc, calloc, realloc, posix_memalign, aligned_alloc, memalign and mmap, which pass on to the C
// library's. Under a sanitizer, which has its own too, nothing is counted.
#pragma once

#include <cstddef>
#include <string>

namespace outsize::train_test {

inline constexpr std::size_t kLargeBytes = 16 * 1024;

// False where allocations cannot be counted.
bool can_count_allocations();

// From here on, on all threads.
void start_counting();
// From when the process first writes `begin` to a file until it first writes `end`; both outlive
// it.
void count_between_writes(const char* begin, const char* end);
// Large allocations since then, and where the first few came from.
struct Allocations {
  int count = 0;
  std::string report;
};
Allocations stop_counting();

}  // namespace outsize::train_test
