#include "optim/harness.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "core/rng.h"
#include "optim/master.h"

namespace outsize {

ParameterRun::ParameterRun(const UpdateRule& rule, const ParameterSpec& spec,
                           const std::vector<float>& masters)
    : rule_(rule), spec_(spec) {
  const size_t n = static_cast<size_t>(spec.shape.numel());
  EXPECT_EQ(masters.size(), n);
  memory_.emplace_back(n * static_cast<size_t>(size_of(spec.dtype)));
  for (const StateBuffer& buffer : rule.state(spec))
    memory_.emplace_back(static_cast<size_t>(buffer.count * size_of(buffer.dtype)));
  // Scratch arrives with anything in it.
  workspace_.assign(static_cast<size_t>(rule.workspace_bytes(spec)), std::byte{0xff});
  if (spec.dtype == DType::f32) {
    if (n > 0) std::memcpy(memory_[0].data(), masters.data(), n * sizeof(float));
  } else {
    store_master(masters.data(), spec.shape.numel(), reinterpret_cast<bf16*>(memory_[0].data()),
                 reinterpret_cast<std::int16_t*>(memory_[1].data()));
  }
}

void ParameterRun::update(const std::vector<float>& gradient, double lr, double gradient_scale) {
  std::vector<void*> state;
  for (size_t i = 1; i < memory_.size(); ++i) state.push_back(memory_[i].data());
  const Status status = rule_.update(spec_, {.weight = memory_[0].data(),
                                             .gradient = gradient.data(),
                                             .state = state,
                                             .step = ++step_,
                                             .lr = lr,
                                             .gradient_scale = gradient_scale,
                                             .workspace = workspace_.data()});
  EXPECT_TRUE(status.ok()) << status.message();
}

std::vector<float> ParameterRun::masters() const {
  const std::int64_t n = spec_.shape.numel();
  std::vector<float> result(static_cast<size_t>(n));
  if (n == 0) return result;
  if (spec_.dtype == DType::f32)
    std::memcpy(result.data(), memory_[0].data(), result.size() * sizeof(float));
  else
    load_master(reinterpret_cast<const bf16*>(memory_[0].data()),
                reinterpret_cast<const std::int16_t*>(memory_[1].data()), n, result.data());
  return result;
}

std::vector<float> normals(std::int64_t n, std::uint64_t seed, double scale) {
  const Rng rng(seed, 0);
  std::vector<float> result(static_cast<size_t>(n));
  for (size_t i = 0; i < result.size(); ++i) result[i] = static_cast<float>(scale * rng.normal(i));
  return result;
}

void for_each_isa(const std::function<void()>& body) {
  const Isa before = active_isa();
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512, Isa::amx}) {
    if (isa > best_isa()) break;
    set_active_isa(isa);
    SCOPED_TRACE(name_of(isa));
    body();
  }
  set_active_isa(before);
}

double relative_error(const std::vector<float>& a, const std::vector<double>& b) {
  if (a.size() != b.size() || a.empty()) return std::numeric_limits<double>::infinity();
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  const double error = std::sqrt(difference / norm);
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

}  // namespace outsize
