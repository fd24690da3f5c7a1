// Runs update rules on ordinary vectors, as an executor runs them on arenas.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/isa.h"
#include "optim/update_rule.h"

namespace outsize {

// One parameter under a rule, with the state and workspace the rule declared.
class ParameterRun {
 public:
  // A bf16 spec starts from exactly these masters.
  ParameterRun(const UpdateRule& rule, const ParameterSpec& spec,
               const std::vector<float>& masters);

  void update(const std::vector<float>& gradient, double lr, double gradient_scale = 1);
  std::vector<float> masters() const;
  // Everything kept between updates: weight, then the state buffers.
  const std::vector<std::vector<std::byte>>& memory() const { return memory_; }

 private:
  const UpdateRule& rule_;
  ParameterSpec spec_;
  std::vector<std::vector<std::byte>> memory_;
  std::vector<std::byte> workspace_;
  std::int64_t step_ = 0;
};

// n numbers, normal, times scale; a function of seed alone.
std::vector<float> normals(std::int64_t n, std::uint64_t seed, double scale = 1);

// Calls body once per instruction set this processor runs, with its name in the trace.
void for_each_isa(const std::function<void()>& body);

// |a - b| / |b| (2-norms); infinity if a holds a NaN or the sizes differ or are 0.
double relative_error(const std::vector<float>& a, const std::vector<double>& b);

}  // namespace outsize
