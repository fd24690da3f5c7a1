#include "plan/forward_plans.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace outsize {
namespace {

class ForwardSearch {
 public:
  ForwardSearch(std::vector<PlanRequest> requests, std::int64_t budget_bytes)
      : requests_(std::move(requests)),
        budget_(budget_bytes),
        streamed_(requests_.front().program->calls.size(), 0) {}

  ForwardPlans run(bool may_stream) {
    if (fits() || !may_stream) return std::move(best_);
    std::fill(streamed_.begin(), streamed_.end(), 1);
    if (!fits()) return std::move(best_);  // not even when nothing is read ahead
    window_ = std::clamp<std::int64_t>(budget_ / 8, kMovedAlignment, 256 << 20);
    if (!fits()) window_ = 0;
    make_resident();
    return std::move(best_);
  }

 private:
  // Plans with the calls that are streamed now; kept when they fit.
  bool fits() {
    ForwardPlans found;
    for (PlanRequest& request : requests_) {
      request.knobs.stream_weights = streamed_;
      request.knobs.read_ahead_bytes = window_;
      found.plans.push_back(make_plan(request));
      found.arena_bytes = std::max(found.arena_bytes, found.plans.back().arena_bytes);
    }
    const bool fit = budget_ <= 0 || found.arena_bytes <= budget_;
    if (fit)
      best_ = std::move(found);
    else if (best_.plans.empty() && (smallest_ == 0 || found.arena_bytes < smallest_))
      best_.arena_bytes = smallest_ = found.arena_bytes;
    return fit;
  }

  void make_resident() {
    const std::vector<char> shares = owners_of_shared();
    std::vector<size_t> others;  // the first ones: they compute while the next are read
    for (size_t c = 0; c < streamed_.size(); ++c) {
      if (!shares[c]) {
        others.push_back(c);
        continue;
      }
      // Its bytes would be read for each of their uses.
      streamed_[c] = 0;
      if (!fits()) streamed_[c] = 1;
    }
    size_t fit = 0, fail = others.size() + 1;  // of the others, in their order
    while (fail - fit > 1) {
      const size_t middle = (fit + fail) / 2;
      for (size_t i = 0; i < others.size(); ++i) streamed_[others[i]] = i < middle ? 0 : 1;
      (fits() ? fit : fail) = middle;
    }
  }

  // Per call: does it own a parameter that a later one uses too?
  std::vector<char> owners_of_shared() const {
    const Program& program = *requests_.front().program;
    std::vector<int> owner(program.parameters.size(), -1);
    std::vector<char> shares(program.calls.size(), 0);
    for (size_t c = 0; c < program.calls.size(); ++c)
      for (int p : program.calls[c].parameters) {
        int& first = owner[static_cast<size_t>(p)];
        if (first < 0)
          first = static_cast<int>(c);
        else
          shares[static_cast<size_t>(first)] = 1;
      }
    return shares;
  }

  std::vector<PlanRequest> requests_;
  std::int64_t budget_, window_ = 0, smallest_ = 0;
  std::vector<char> streamed_;  // per call
  ForwardPlans best_;
};

}  // namespace

ForwardPlans plan_forward(std::vector<PlanRequest> requests, std::int64_t budget_bytes,
                          bool may_stream) {
  return ForwardSearch(std::move(requests), budget_bytes).run(may_stream);
}

}  // namespace outsize
