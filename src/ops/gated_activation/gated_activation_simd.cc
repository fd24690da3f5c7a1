// One pass over memory: 3 streams forward, 5 backward; an exponential and a division per element.
#include "ops/gated_activation/gated_activation_simd.h"

#include "core/simd.h"
#include "ops/activation/functions_simd.h"

namespace outsize::OUTSIZE_ISA {
namespace {

template <class T, class F>
void forward(const void* gate_data, const void* up_data, Result y_data, int64_t begin,
             int64_t end) {
  const T* gate = static_cast<const T*>(gate_data);
  const T* up = static_cast<const T*>(up_data);
  const Target<T> y = target<T>(y_data);
  each_vector(begin, end, [=](int64_t i, auto lanes) {
    store(y, i, F::value(load_ahead(gate + i, lanes)) * load_ahead(up + i, lanes), lanes);
  });
}

template <class T, class F>
void backward(const void* dy_data, const void* gate_data, const void* up_data, Result dgate_data,
              Result dup_data, int64_t begin, int64_t end) {
  const T* dy = static_cast<const T*>(dy_data);
  const T* gate = static_cast<const T*>(gate_data);
  const T* up = static_cast<const T*>(up_data);
  const Target<T> dgate = target<T>(dgate_data);
  const Target<T> dup = target<T>(dup_data);
  each_vector(begin, end, [=](int64_t i, auto lanes) {
    const ValueAndSlope f = F::both(load_ahead(gate + i, lanes));
    const f32x16 d = load_ahead(dy + i, lanes);
    store(dgate, i, d * load_ahead(up + i, lanes) * f.slope, lanes);
    store(dup, i, d * f.value, lanes);
  });
}

}  // namespace

extern const GatedActivationKernels gated_activation_table = {
    {{forward<float, Silu>, forward<float, GeluTanh>},
     {forward<uint16_t, Silu>, forward<uint16_t, GeluTanh>}},
    {{backward<float, Silu>, backward<float, GeluTanh>},
     {backward<uint16_t, Silu>, backward<uint16_t, GeluTanh>}}};

}  // namespace outsize::OUTSIZE_ISA
