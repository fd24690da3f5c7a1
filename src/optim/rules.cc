#include "optim/rules.h"

#include <cmath>
#include <limits>

#include "core/error.h"

namespace outsize {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<UpdateRule> (*make)(const OptimizerOptions&);
};

constexpr Entry kRules[] = {
    {"adamw", make_adamw},
    {"sgd", make_sgd},
    {"adafactor", make_adafactor},
};

}  // namespace

void require_in(const char* rule, const char* field, double value, Range range) {
  const bool above = range.low_allowed ? value >= range.low : value > range.low;
  if (std::isfinite(value) && above && value < range.high) return;
  fail(ErrorKind::InvalidArgument, "[{}] {} is out of range; got {}; expected {}{}, {})", rule,
       field, value, range.low_allowed ? "[" : "(", range.low, range.high);
}

void require_moment_dtype(const char* rule, DType dtype) {
  if (dtype == DType::f32 || dtype == DType::bf16) return;
  fail(ErrorKind::InvalidArgument,
       "[{}] moment_dtype is not one a mean is kept in; got {}; "
       "expected f32 or bf16",
       rule, name_of(dtype));
}

std::unique_ptr<UpdateRule> make_update_rule(const OptimizerOptions& options) {
  std::string known;
  for (const Entry& entry : kRules) {
    if (options.name == entry.name) return entry.make(options);
    known += known.empty() ? "" : ", ";
    known += entry.name;
  }
  fail(ErrorKind::InvalidArgument, "[optimizer] unknown name; got '{}'; expected one of {}",
       options.name, known);
}

}  // namespace outsize
