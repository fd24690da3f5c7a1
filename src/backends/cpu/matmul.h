// Matrix product on the CPU: c = a·b (+ bias) or c += a·b, prepared once per shape. oneDNN's, or,
// where there are tile registers, our own. Knows no op. Scratch is the caller's, so its bytes are
// known at plan time.
#pragma once

#include <cstdint>
#include <memory>

#include "core/dtype.h"
#include "core/status.h"

namespace outsize {

// Shapes: a is [m,k], b is [k,n], c is [m,n], row-major; a transposed operand is stored as [k,m] or
// [n,k]. Rows follow each other without gaps: for others oneDNN 2.6 has only an older bf16 kernel,
// which allocates within every call in spite of the scratchpad it is given.
// Dtypes: a, b both f32 or both bf16; c f32 or that dtype; bias f32 [n]. Accumulates in f32.
struct MatmulSpec {
  std::int64_t m = 0, n = 0, k = 0;
  DType operand = DType::f32;
  DType result = DType::f32;
  bool transpose_a = false;
  bool transpose_b = false;
  bool bias = false;
  bool accumulate = false;  // c += a·b; c must be f32
  // A hint: c is larger than caches and read by nobody soon. Our own products take it, of f32.
  bool past_caches = false;
};

// nullptr when this processor and library can run it, else the reason.
const char* matmul_unsupported(const MatmulSpec& spec);

class Matmul {
 public:
  // Throws Unsupported when matmul_unsupported(spec) gives a reason.
  explicit Matmul(const MatmulSpec& spec);
  ~Matmul();
  Matmul(Matmul&&) noexcept;
  Matmul& operator=(Matmul&&) noexcept;

  // Of scratch, of operands turned over or packed; the run needs them aligned to 64 bytes.
  std::int64_t workspace_bytes() const;
  // Blocks until done. `bias` is nullptr unless the spec has one. Same bits on every repeat with
  // the same thread count.
  Status run(const void* a, const void* b, const float* bias, void* c,
             void* workspace) const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace outsize
