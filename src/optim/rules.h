// The rules behind make_update_rule, one per file, and what their files share.
#pragma once

#include "optim/update_rule.h"

namespace outsize {

std::unique_ptr<UpdateRule> make_adamw(const OptimizerOptions& options);
std::unique_ptr<UpdateRule> make_sgd(const OptimizerOptions& options);
std::unique_ptr<UpdateRule> make_adafactor(const OptimizerOptions& options);

// Elements per task of an elementwise update: about 1 MiB of traffic, so that a task outlasts its
// dispatch and thousands of small parameters do not wake the team.
inline constexpr std::int64_t kUpdateGrain = 32768;

// Bytes of one stored master: 4 either way (f32, or bf16 with its low half).
inline constexpr std::int64_t kMasterBytes = 4;

// Throws InvalidArgument unless value is finite and in [low, high) (or [low, high] when closed).
struct Range {
  double low;
  double high;
  bool low_allowed = true;
};
void require_in(const char* rule, const char* field, double value, Range range);
// Throws InvalidArgument unless dtype is f32 or bf16.
void require_moment_dtype(const char* rule, DType dtype);

}  // namespace outsize
