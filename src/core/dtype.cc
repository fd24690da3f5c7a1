#include "core/dtype.h"

#include "core/error.h"

namespace outsize {
namespace {

struct Row {
  DType dtype;
  const char* name;
  std::int64_t bytes;
  double epsilon;
};

constexpr Row kRows[] = {
    {DType::f64, "f64", 8, 0x1p-52},  {DType::f32, "f32", 4, 0x1p-23},
    {DType::bf16, "bf16", 2, 0x1p-7}, {DType::f16, "f16", 2, 0x1p-10},
    {DType::i64, "i64", 8, 0.0},      {DType::i32, "i32", 4, 0.0},
    {DType::i16, "i16", 2, 0.0},      {DType::u8, "u8", 1, 0.0},
};

const Row& row_of(DType dtype) {
  return kRows[static_cast<int>(dtype)];
}

}  // namespace

std::int64_t size_of(DType dtype) {
  return row_of(dtype).bytes;
}

const char* name_of(DType dtype) {
  return row_of(dtype).name;
}

DType parse_dtype(std::string_view name) {
  for (const Row& row : kRows)
    if (name == row.name) return row.dtype;
  fail(ErrorKind::InvalidArgument,
       "[dtype] unknown dtype; got '{}'; expected one of f64 f32 bf16 f16 i64 i32 i16 u8", name);
}

bool is_float(DType dtype) {
  return row_of(dtype).epsilon > 0.0;
}

double epsilon_of(DType dtype) {
  return row_of(dtype).epsilon;
}

}  // namespace outsize
