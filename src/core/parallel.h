// Splits loops over the cores. The partition is fixed by n and grain alone, so a reduction that
// keeps one partial result per chunk gives the same bits for any number of threads. One team serves
// our loops and oneDNN's (OpenMP): two pools would spin against each other.
#pragma once

#include <cstdint>
#include <type_traits>

namespace outsize {

// A borrowed callable body(begin, end): no allocation, must outlive the call.
class RangeBody {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, RangeBody>)
      RangeBody(F&& f)  // NOLINT: implicit by intent, as std::function is
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* object, std::int64_t begin, std::int64_t end) {
          (*static_cast<std::remove_reference_t<F>*>(object))(begin, end);
        }) {}
  void operator()(std::int64_t begin, std::int64_t end) const { call_(object_, begin, end); }

 private:
  void* object_;
  void (*call_)(void*, std::int64_t, std::int64_t);
};

// Threads of compute loops, oneDNN's included. Default: the cores this process may run on.
int thread_count();
void set_thread_count(int threads);

// Calls body(begin, end) for [0, grain), [grain, 2·grain) … up to n, on all threads, and waits.
// Fewer than 2^32 such chunks.
// Each thread gets one run of neighbouring chunks, the same for the same n and grain: what it wrote
// in one loop it finds in its own caches in the next. Who has done its run takes chunks from the
// end of others', one by one. Tasks of unequal length take turns by themselves (run_tasks). The
// body must not throw, allocate tensor-sized memory, or call parallel_for.
void parallel_for(std::int64_t n, std::int64_t grain, RangeBody body);

}  // namespace outsize
