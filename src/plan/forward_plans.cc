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
    window_ = bytes_of_a_call();
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

  // A median: reading runs as far ahead as this, which is one call, and what is larger is the table
  // of a head or an embedding. Further ahead would save no time, since whichever takes longer,
  // reading or computing, never waits; it would cost RAM that weights can stay in.
  std::int64_t bytes_of_a_call() const {
    std::vector<std::int64_t> sizes;
    for (size_t c = 0; c < streamed_.size(); ++c)
      if (const std::int64_t bytes = bytes_of(c); bytes > 0) sizes.push_back(bytes);
    if (sizes.empty()) return 0;
    std::sort(sizes.begin(), sizes.end());
    return sizes[sizes.size() / 2];
  }

  std::int64_t bytes_of(size_t call) const {
    const Program& program = *requests_.front().program;
    std::int64_t bytes = 0;
    for (int p : program.calls[call].parameters)
      bytes += whole_pages(program.parameters[static_cast<size_t>(p)].type.bytes());
    return bytes;
  }

  // First what is read for several uses, then what is larger than a usual call: RAM has to have the
  // room for it anyway, at its use. Then others in between those that are read, so that the disk
  // has always been asked for the next while they compute; the last is read, since nothing is
  // behind it.
  void make_resident() {
    const std::vector<char> shares = owners_of_shared();
    const std::int64_t usual = bytes_of_a_call();
    std::vector<size_t> first, others;
    for (size_t c = 0; c < streamed_.size(); ++c)
      (shares[c] || bytes_of(c) > usual ? first : others).push_back(c);
    std::stable_sort(first.begin(), first.end(), [&](size_t a, size_t b) {
      return shares[a] != shares[b] ? shares[a] > shares[b] : bytes_of(a) > bytes_of(b);
    });
    for (const size_t c : first) {
      streamed_[c] = 0;
      if (!fits()) streamed_[c] = 1;
    }
    size_t fit = 0, fail = others.size() + 1;  // of the others, a number
    while (fail - fit > 1) {
      const size_t middle = (fit + fail) / 2;
      const size_t count = others.size() - middle;
      for (size_t i = 0; i < others.size(); ++i)
        streamed_[others[i]] = (i + 1) * count / others.size() > i * count / others.size() ? 1 : 0;
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
