// One pass over memory; an exponential and a division per element keep up with it.
#include "ops/activation/activation_simd.h"

#include "core/simd.h"
#include "ops/activation/functions_simd.h"

namespace outsize::OUTSIZE_ISA {
namespace {

template <class T, class F>
void forward(const void* x_data, Result y_data, int64_t begin, int64_t end) {
  const T* x = static_cast<const T*>(x_data);
  const Target<T> y = target<T>(y_data);
  each_vector(begin, end, [=](int64_t i, auto lanes) {
    store(y, i, F::value(load_ahead(x + i, lanes)), lanes);
  });
}

template <class T, class F>
void backward(const void* dy_data, const void* x_data, Result dx_data, int64_t begin, int64_t end) {
  const T* dy = static_cast<const T*>(dy_data);
  const T* x = static_cast<const T*>(x_data);
  const Target<T> dx = target<T>(dx_data);
  each_vector(begin, end, [=](int64_t i, auto lanes) {
    store(dx, i, load_ahead(dy + i, lanes) * F::both(load_ahead(x + i, lanes)).slope, lanes);
  });
}

}  // namespace

extern const ActivationKernels activation_table = {
    {{forward<float, Silu>, forward<float, GeluTanh>, forward<float, Relu>, forward<float, GeluErf>,
      forward<float, Tanh>},
     {forward<uint16_t, Silu>, forward<uint16_t, GeluTanh>, forward<uint16_t, Relu>,
      forward<uint16_t, GeluErf>, forward<uint16_t, Tanh>}},
    {{backward<float, Silu>, backward<float, GeluTanh>, backward<float, Relu>,
      backward<float, GeluErf>, backward<float, Tanh>},
     {backward<uint16_t, Silu>, backward<uint16_t, GeluTanh>, backward<uint16_t, Relu>,
      backward<uint16_t, GeluErf>, backward<uint16_t, Tanh>}}};

}  // namespace outsize::OUTSIZE_ISA
