// Learning rates over the steps of a run, with the curves of transformers'
// get_*_schedule_with_warmup.
#pragma once

#include <cstdint>
#include <string>

namespace outsize {

struct ScheduleOptions {
  std::string name = "constant";  // constant, linear, cosine or wsd (warm-up, stable, decay)
  std::int64_t warmup_steps = 0;  // >= 0
  double min_lr_ratio = 0;        // in [0, 1]: where linear, cosine and wsd end, times the peak
  double decay_fraction = 0.1;    // wsd, in [0, 1]: the last round(fraction · total) steps decay
  std::string decay = "linear";   // wsd, curve of the decay: linear, cosine or 1-sqrt
};

// Throws InvalidArgument for an unknown name or a value out of range.
void check(const ScheduleOptions& options);

// Learning rate of update `step`, counted from 1, in a run of total_steps updates. With t = step -
// 1, the updates already made (what transformers calls current_step):
//   t < warmup         peak · t / warmup: the first update of a warm-up has rate 0, as in
//   transformers,
//                      and the first at the full peak is update warmup + 1
//                      (wsd rises from min_lr_ratio · peak instead of 0, also as there)
//   constant           peak
//   linear, cosine     f(p), p = (t - warmup) / max(1, total - warmup): the last update, t = total
//   - 1,
//                      comes one step short of the end of the curve
//   wsd                peak until t = total - decay, then f(p), p = (t - (total - decay)) / max(1,
//   decay) with peak · (min + (1 - min) · f), f = 1 - p | (1 + cos πp) / 2 | 1 - √p
// transformers has no minimum for linear; with min_lr_ratio 0 all four equal its curves, and cosine
// and wsd do with any (get_cosine_with_min_lr_schedule_with_warmup, get_wsd_schedule).
// From t = total on it stays at the end of the curve (transformers' cosine would rise again).
// Options must have passed check(); step >= 1, total_steps >= 0.
double learning_rate(const ScheduleOptions& options, double peak, std::int64_t step,
                     std::int64_t total_steps);

}  // namespace outsize
