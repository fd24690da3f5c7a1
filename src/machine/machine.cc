#include "machine/machine.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace outsize {

Rate summarise(std::span<const double> samples) {
  ensure(!samples.empty(), "[machine] no samples to summarise");
  std::vector<double> sorted(samples.begin(), samples.end());
  std::sort(sorted.begin(), sorted.end());
  const auto at = [&](double share) {
    const double last = static_cast<double>(sorted.size() - 1);
    return sorted[static_cast<std::size_t>(std::lround(share * last))];
  };
  return {at(0.5), at(0.1), at(0.9)};
}

const char* name_of(GemmForm form) {
  switch (form) {
    case GemmForm::packed:
      return "packed";
    case GemmForm::nt:
      return "nt";
    case GemmForm::nn:
      return "nn";
    case GemmForm::tn:
      return "tn";
    case GemmForm::tn_add:
      return "tn+";
  }
  return "packed";
}

std::int64_t Machine::usable_ram_bytes() const {
  return ram.limit_bytes ? std::min(*ram.limit_bytes, ram.total_bytes) : ram.total_bytes;
}

}  // namespace outsize
