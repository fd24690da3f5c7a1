#include "core/balance.h"

#include <algorithm>
#include <numeric>

#include "core/parallel.h"

namespace outsize {
namespace {

// One loop says little: a thread may have been interrupted just then. Shorter ones say less.
constexpr double kTrust = 0.15, kTrustedSeconds = 1e-3;
// Of an equal share: so much a thread always takes, or nothing would be learned of it.
constexpr double kLeast = 0.25;

}  // namespace

Balance::Balance(int threads)
    : shares_(static_cast<size_t>(threads), 1.0 / threads), done_(shares_.size()) {}

double Balance::before(std::int64_t thread) const {
  if (thread == threads()) return 1;
  return std::accumulate(shares_.begin(), shares_.begin() + thread, 0.0);
}

void Balance::learn() {
  double speeds = 0, seconds = 0;
  for (const Done& done : done_) {
    if (!(done.work > 0 && done.seconds > 0)) return;
    speeds += done.work / done.seconds;
    seconds = std::max(seconds, done.seconds);
  }
  const double trust = kTrust * std::min(seconds / kTrustedSeconds, 1.0);
  double sum = 0;
  for (size_t t = 0; t < shares_.size(); ++t) {
    const double fair = done_[t].work / done_[t].seconds / speeds;
    shares_[t] = std::max(shares_[t] + trust * (fair - shares_[t]),
                          kLeast / static_cast<double>(shares_.size()));
    sum += shares_[t];
  }
  for (double& share : shares_) share /= sum;
}

Balance& team_balance() {
  thread_local Balance balance(thread_count());
  if (balance.threads() != thread_count()) balance = Balance(thread_count());
  return balance;
}

}  // namespace outsize
