// What writer and reader of machine.json share.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace outsize {

constexpr std::int64_t kMachineVersion = 1;

// f32, bf16, and int8 for u8 (u8 · i8 → i32).
inline const char* gemm_dtype_name(DType dtype) {
  return dtype == DType::u8 ? "int8" : name_of(dtype);
}

}  // namespace outsize
