// Element types: one row each. Adding a dtype is adding a row here and kernels that take it.
#pragma once

#include <cstdint>
#include <string_view>

namespace outsize {

enum class DType : std::uint8_t { f64, f32, bf16, f16, i64, i32, i16, u8 };

// Bytes of one element.
std::int64_t size_of(DType dtype);
// "f32", "bf16", …
const char* name_of(DType dtype);
// Inverse of name_of; throws InvalidArgument listing the known names.
DType parse_dtype(std::string_view name);
bool is_float(DType dtype);
// Distance from 1 to the next larger number of a floating dtype; 0 for integers.
double epsilon_of(DType dtype);

}  // namespace outsize
