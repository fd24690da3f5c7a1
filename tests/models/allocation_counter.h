// Counts what this test program asks of the system while armed: malloc and its kin (operator new
// and every library included) and anonymous mappings. Not under sanitizers, which have allocators
// of their own.
#pragma once

#include <cstddef>

namespace outsize::testing_models {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCountsAllocations = false;
#else
constexpr bool kCountsAllocations = true;
#endif

// Between construction and destruction allocations of at least kTensorSized bytes are counted, on
// all threads. One at a time.
class AllocationCounter {
 public:
  static constexpr std::size_t kTensorSized = 16 << 10;
  AllocationCounter();
  ~AllocationCounter();
  AllocationCounter(const AllocationCounter&) = delete;
  AllocationCounter& operator=(const AllocationCounter&) = delete;

  int count() const;            // tensor-sized ones, asked for by anyone but oneDNN
  int onednn_count() const;     // tensor-sized ones asked for by oneDNN
  std::size_t largest() const;  // bytes, of any
};

}  // namespace outsize::testing_models
