// Vector kernels of embedding; see core/simd.h for how one source serves every instruction set.
#pragma once

#include <cstdint>

#include "core/streaming.h"

namespace outsize {

// The index is "elements of table, y and dy are bf16". Ids are valid.
struct EmbeddingKernels {
  // y[n] = scale · table[ids[n]] for rows n in [begin, end).
  void (*gather[2])(const void* table, const std::int32_t* ids, Result y, std::int64_t begin,
                    std::int64_t end, std::int64_t width, float scale);
  // dtable[ids[n]] += scale · dy[n] for all n in order, columns [begin, end) only.
  void (*scatter[2])(const void* dy, const std::int32_t* ids, float* dtable, std::int64_t rows,
                     std::int64_t begin, std::int64_t end, std::int64_t width, float scale);
};

namespace isa_baseline {
extern const EmbeddingKernels embedding_table;
}
namespace isa_avx2 {
extern const EmbeddingKernels embedding_table;
}
namespace isa_avx512 {
extern const EmbeddingKernels embedding_table;
}

}  // namespace outsize
