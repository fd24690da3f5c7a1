#include "core/ordinary_numbers.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/half.h"
#include "core/rng.h"

namespace outsize {
namespace {

// Random ones are dear: the first are copied until there are enough.
template <class T, class Make>
void fill(std::int64_t count, void* to, Make&& make) {
  constexpr std::int64_t kPeriod = 4093;  // a prime: rows do not repeat
  const Rng random(1, 0);
  auto* values = static_cast<T*>(to);
  for (std::int64_t i = 0; i < std::min(count, kPeriod); ++i)
    values[i] = make(random.uniform(static_cast<std::uint64_t>(i)) + 0.1);
  for (std::int64_t done = kPeriod; done < count; done *= 2)
    std::memcpy(values + done, values,
                static_cast<size_t>(std::min(done, count - done)) * sizeof(T));
}

}  // namespace

void fill_ordinary(DType dtype, std::int64_t count, void* to) {
  switch (dtype) {
    case DType::bf16:
      return fill<bf16>(count, to, [](double x) { return to_bf16(static_cast<float>(x)); });
    case DType::f32:
      return fill<float>(count, to, [](double x) { return static_cast<float>(x); });
    case DType::f64:
      return fill<double>(count, to, [](double x) { return x; });
    case DType::u8:
      return fill<std::uint8_t>(count, to,
                                [](double x) { return static_cast<std::uint8_t>(100 * x); });
    default:
      ensure(false, "[timing] no ordinary numbers of dtype {}", name_of(dtype));
  }
}

}  // namespace outsize
