#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>

#include "core/error.h"

namespace outsize {
namespace {

// From 1 at p = 0 to 0 at p = 1.
double fall(std::string_view curve, double p) {
  if (curve == "linear") return 1 - p;
  if (curve == "cosine") return 0.5 * (1 + std::cos(std::numbers::pi * p));
  return 1 - std::sqrt(p);  // "1-sqrt"
}

double share(std::int64_t part, std::int64_t whole) {
  const std::int64_t at_least_one = std::max<std::int64_t>(1, whole);
  return static_cast<double>(part) / static_cast<double>(at_least_one);
}

bool is_ratio(double x) {
  return x >= 0 && x <= 1;
}

}  // namespace

void check(const ScheduleOptions& options) {
  const std::string& name = options.name;
  if (name != "constant" && name != "linear" && name != "cosine" && name != "wsd")
    fail(ErrorKind::InvalidArgument,
         "[schedule] unknown name; got '{}'; expected one of constant, "
         "linear, cosine, wsd",
         name);
  const std::string& decay = options.decay;
  if (decay != "linear" && decay != "cosine" && decay != "1-sqrt")
    fail(ErrorKind::InvalidArgument,
         "[schedule] unknown decay; got '{}'; expected one of linear, "
         "cosine, 1-sqrt",
         decay);
  if (options.warmup_steps < 0)
    fail(ErrorKind::InvalidArgument,
         "[schedule] warmup_steps is negative; got {}; expected 0 or more", options.warmup_steps);
  if (!is_ratio(options.min_lr_ratio))
    fail(ErrorKind::InvalidArgument,
         "[schedule] min_lr_ratio is out of range; got {}; expected [0, 1]", options.min_lr_ratio);
  if (!is_ratio(options.decay_fraction))
    fail(ErrorKind::InvalidArgument,
         "[schedule] decay_fraction is out of range; got {}; expected [0, 1]",
         options.decay_fraction);
}

double learning_rate(const ScheduleOptions& options, double peak, std::int64_t step,
                     std::int64_t total_steps) {
  const std::int64_t done = step - 1;
  const std::int64_t warmup = options.warmup_steps;
  const bool wsd = options.name == "wsd";
  const auto above_minimum = [&](double f) {
    return peak * (f * (1 - options.min_lr_ratio) + options.min_lr_ratio);
  };
  if (done < warmup) {
    const double risen = share(done, warmup);
    return wsd ? above_minimum(risen) : peak * risen;
  }
  if (options.name == "constant") return peak;
  if (done >= total_steps) return above_minimum(0);
  if (!wsd) return above_minimum(fall(options.name, share(done - warmup, total_steps - warmup)));
  const std::int64_t decay =
      std::llround(options.decay_fraction * static_cast<double>(total_steps));
  const std::int64_t decay_begin = total_steps - decay;
  if (done < decay_begin) return peak;
  return above_minimum(fall(options.decay, share(done - decay_begin, decay)));
}

}  // namespace outsize
