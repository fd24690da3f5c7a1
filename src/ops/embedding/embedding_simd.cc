// Rows are contiguous, so both directions run at the speed of scattered row-sized memory accesses.
#include "ops/embedding/embedding_simd.h"

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {
namespace {

template <class T>
void gather(const void* table, const int32_t* ids, Result y, int64_t begin, int64_t end,
            int64_t width, float scale) {
  for (int64_t n = begin; n < end; ++n) {
    const T* from = static_cast<const T*>(table) + ids[n] * width;
    const Target<T> to = target<T>(y, n * width);
    each_vector(0, width,
                [=](int64_t i, auto lanes) { store(to, i, load(from + i, lanes) * scale, lanes); });
  }
}

template <class T>
void scatter(const void* dy, const int32_t* ids, float* dtable, int64_t rows, int64_t begin,
             int64_t end, int64_t width, float scale) {
  for (int64_t n = 0; n < rows; ++n) {
    const T* from = static_cast<const T*>(dy) + n * width;
    float* to = dtable + ids[n] * width;
    each_vector(begin, end, [=](int64_t i, auto lanes) {
      store(to + i, fma(load(from + i, lanes), splat(scale), load(to + i, lanes)), lanes);
    });
  }
}

}  // namespace

extern const EmbeddingKernels embedding_table = {{gather<float>, gather<uint16_t>},
                                                 {scatter<float>, scatter<uint16_t>}};

}  // namespace outsize::OUTSIZE_ISA
