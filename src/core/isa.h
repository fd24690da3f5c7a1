// Which compiled variant of the vector kernels runs. Chosen once from the processor; the
// environment variable OUTSIZE_ISA (baseline, avx2, avx512, amx) and tests may choose a lower one.
// Recorded with a run.
#pragma once

#include <string_view>

namespace outsize {

// amx is avx512 with tile registers; only what multiplies matrices has a variant for it.
enum class Isa { baseline, avx2, avx512, amx };

const char* name_of(Isa isa);
// Best variant this processor runs: avx512 needs AVX-512 F/BW/DQ/VL/VNNI/BF16, avx2 needs AVX2 and
// FMA, amx besides avx512 AMX-TILE/BF16 and the kernel's leave to use them.
Isa best_isa();
Isa active_isa();
// For tests: throws Unsupported when the processor lacks it.
void set_active_isa(Isa isa);

// Picks the active variant of a kernel table or function that has none for amx.
template <class T>
const T& select_isa(const T& baseline, const T& avx2, const T& avx512) {
  switch (active_isa()) {
    case Isa::amx:
    case Isa::avx512:
      return avx512;
    case Isa::avx2:
      return avx2;
    case Isa::baseline:
      break;
  }
  return baseline;
}

}  // namespace outsize
