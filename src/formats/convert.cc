#include "formats/convert.h"

#include <bit>
#include <cstring>

#include "core/error.h"
#include "core/half.h"

namespace outsize {
namespace {

static_assert(std::endian::native == std::endian::little, "file bytes are used as they lie");

template <class Stored, class Convert>
void load(const void* source, std::int64_t count, float* destination, Convert&& convert) {
  const char* bytes = static_cast<const char*>(source);
  for (std::int64_t i = 0; i < count; ++i) {
    Stored value;
    std::memcpy(&value, bytes + i * static_cast<std::int64_t>(sizeof value), sizeof value);
    destination[i] = convert(value);
  }
}

template <class Convert>
void store(const float* source, std::int64_t count, void* destination, Convert&& convert) {
  char* bytes = static_cast<char*>(destination);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value = convert(source[i]);
    std::memcpy(bytes + i * static_cast<std::int64_t>(sizeof value), &value, sizeof value);
  }
}

[[noreturn]] void refuse(DType dtype) {
  fail(ErrorKind::Unsupported,
       "[formats] no conversion between f32 and {}; expected a floating dtype", name_of(dtype));
}

}  // namespace

void convert_to_f32(DType dtype, const void* source, std::int64_t count, float* destination) {
  switch (dtype) {
    case DType::f64:
      return load<double>(source, count, destination,
                          [](double x) { return static_cast<float>(x); });
    case DType::f32:
      return load<float>(source, count, destination, [](float x) { return x; });
    case DType::bf16:
      return load<bf16>(source, count, destination, [](bf16 x) { return to_f32(x); });
    case DType::f16:
      return load<f16>(source, count, destination, [](f16 x) { return to_f32(x); });
    default:
      refuse(dtype);
  }
}

void convert_from_f32(DType dtype, const float* source, std::int64_t count, void* destination) {
  switch (dtype) {
    case DType::f64:
      return store(source, count, destination, [](float x) { return static_cast<double>(x); });
    case DType::f32:
      return store(source, count, destination, [](float x) { return x; });
    case DType::bf16:
      return store(source, count, destination, [](float x) { return to_bf16(x); });
    case DType::f16:
      return store(source, count, destination, [](float x) { return to_f16(x); });
    default:
      refuse(dtype);
  }
}

}  // namespace outsize
