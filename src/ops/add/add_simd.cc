// Two loads, one store, one addition per element: bound by memory.
#include "ops/add/add_simd.h"

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {
namespace {

template <class T>
void add(const void* a_data, const void* b_data, Result y_data, int64_t begin, int64_t end) {
  const T* a = static_cast<const T*>(a_data);
  const T* b = static_cast<const T*>(b_data);
  const Target<T> y = target<T>(y_data);
  each_vector(begin, end, [=](int64_t i, auto lanes) {
    store(y, i, load_ahead(a + i, lanes) + load_ahead(b + i, lanes), lanes);
  });
}

}  // namespace

extern const AddKernels add_table = {{add<float>, add<uint16_t>}};

}  // namespace outsize::OUTSIZE_ISA
