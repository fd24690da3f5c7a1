#include "plan/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/error.h"

namespace outsize {
namespace {

enum class Saved { kept, offloaded, recomputed, recomputed_and_offloaded };

const char* name_of(Saved saved) {
  switch (saved) {
    case Saved::kept:
      return "saved values kept";
    case Saved::offloaded:
      return "saved values on disk";
    case Saved::recomputed:
      return "recomputed";
    case Saved::recomputed_and_offloaded:
      return "recomputed from disk";
  }
  return "";
}

class Search {
 public:
  Search(const PlanRequest& request, const SearchOptions& options)
      : request_(request), options_(options), calls_(request.program->calls.size()) {}

  SearchResult run() {
    request_.knobs.durable = options_.durable;
    std::optional<Plan> plan = try_plan();
    if (plan) {
      keep("all in RAM", std::move(*plan));
      return finish();
    }
    const bool trains = request_.training && !request_.training->forward_only;
    if (!trains) return finish();
    if (!request_.recomputing.empty()) try_recompute_in_ram();
    if (options_.may_use_disk) try_disk();
    return finish();
  }

 private:
  // Absent when it does not fit.
  std::optional<Plan> try_plan() {
    const std::int64_t budget = request_.budget_bytes;
    request_.budget_bytes = 0;
    Plan plan = make_plan(request_);
    request_.budget_bytes = budget;
    if (budget <= 0 || plan.arena_bytes <= budget) return plan;
    if (smallest_bytes_ == 0 || plan.arena_bytes < smallest_bytes_) {
      smallest_bytes_ = plan.arena_bytes;
      smallest_ = request_.knobs;
      smallest_part_ = request_.part;
    }
    return std::nullopt;
  }

  void keep(std::string name, Plan plan) {
    const double seconds = simulate(plan, options_.machine).seconds;
    Candidate candidate{std::move(name), request_.knobs, seconds, plan.arena_bytes};
    if (result_.candidates.empty() || seconds < result_.candidates.front().seconds) {
      result_.plan = std::move(plan);
      result_.knobs = request_.knobs;
      result_.candidates.insert(result_.candidates.begin(), std::move(candidate));
      return;
    }
    result_.candidates.push_back(std::move(candidate));
  }

  void try_recompute_in_ram() {
    request_.knobs.recompute.assign(calls_, 1);
    if (auto plan = try_plan()) {
      // As few calls as possible: each one kept saves its forward pass.
      make_smaller(request_.knobs.recompute, *plan);
      keep("all in RAM, recomputed", std::move(*plan));
    }
    request_.knobs.recompute.clear();
  }

  void try_disk() {
    request_.knobs.durable = true;
    const std::int64_t window =
        std::clamp<std::int64_t>(request_.budget_bytes / 16, 1 << 12, 256 << 20);
    request_.knobs.read_ahead_bytes = request_.knobs.write_behind_bytes = window;
    for (const bool deferred : {true, false}) {
      request_.knobs.deferred = deferred;
      request_.part = deferred ? StepPart::middle : StepPart::whole;
      try_orders();
    }
  }

  void try_orders() {
    const bool one_microbatch = request_.training->accumulation == 1;
    for (const bool vertical : {true, false}) {
      if (!vertical && (one_microbatch || !can_be_horizontal(request_))) continue;
      const PlanKnobs before = request_.knobs;
      for (const Saved saved : promising(vertical)) {
        stream_all(vertical, saved);
        make_resident(saved);
        request_.knobs = before;
      }
    }
  }

  // Ways of keeping what backward needs that fit with everything streamed, the fastest first. To
  // look further into all of them takes too long for very deep models.
  std::vector<Saved> promising(bool vertical) {
    constexpr size_t kDeep = 200;
    struct Way {
      double seconds;
      Saved saved;
    };
    std::vector<Way> ways;
    const PlanKnobs before = request_.knobs;
    for (const Saved saved :
         {Saved::kept, Saved::offloaded, Saved::recomputed, Saved::recomputed_and_offloaded}) {
      const bool again = saved == Saved::recomputed || saved == Saved::recomputed_and_offloaded;
      if (again && request_.recomputing.empty()) continue;
      // Where all microbatches' values wait, what is kept of them is the search's choice.
      if (saved == Saved::kept && vertical && request_.training->accumulation > 1) continue;
      stream_all(vertical, saved);
      if (const auto plan = try_plan())
        ways.push_back({simulate(*plan, options_.machine).seconds, saved});
      request_.knobs = before;
    }
    std::stable_sort(ways.begin(), ways.end(),
                     [](const Way& a, const Way& b) { return a.seconds < b.seconds; });
    const size_t count = calls_ > kDeep ? std::min<size_t>(1, ways.size()) : ways.size();
    std::vector<Saved> list;
    for (size_t i = 0; i < count; ++i) list.push_back(ways[i].saved);
    return list;
  }

  void stream_all(bool vertical, Saved saved) {
    PlanKnobs& knobs = request_.knobs;
    knobs.vertical = vertical;
    const std::vector<char> all(calls_, 1);
    knobs.stream_weights = knobs.stream_state = knobs.offload_gradients = all;
    // A horizontal pass adds to all gradients again and again: they stay.
    if (!vertical && request_.training->accumulation > 1) knobs.offload_gradients.clear();
    if (saved == Saved::recomputed || saved == Saved::recomputed_and_offloaded)
      knobs.recompute = all;
    if (saved == Saved::offloaded || saved == Saved::recomputed_and_offloaded)
      knobs.offload_saved = all;
  }

  // As much as fits, in the order of time saved per byte.
  void make_resident(Saved saved) {
    PlanKnobs& knobs = request_.knobs;
    std::optional<Plan> plan = try_plan();
    if (!plan) return;
    for (auto* list : {&knobs.stream_weights, &knobs.offload_gradients, &knobs.offload_saved,
                       &knobs.recompute, &knobs.stream_state})
      make_smaller(*list, *plan);
    if (!parts_fit()) return;
    keep(fmt::format("{}, {}{}", knobs.vertical ? "call by call" : "microbatch by microbatch",
                     name_of(saved), knobs.deferred ? ", updates with the next forward" : ""),
         std::move(*plan));
  }

  // The first step and the last updates, too.
  bool parts_fit() {
    if (!request_.knobs.deferred) return true;
    bool fit = true;
    for (const StepPart part : {StepPart::begin, StepPart::end}) {
      request_.part = part;
      fit = fit && try_plan();
    }
    request_.part = StepPart::middle;
    return fit;
  }

  // Takes as many calls as fit from the list, the last ones first: their saved values live
  // shortest. `plan` is the plan of the list as it is, and afterwards of the shorter one.
  void make_smaller(std::vector<char>& list, Plan& plan) {
    if (list.empty()) return;
    size_t fits = calls_, fails = 0;  // calls in the list
    const auto set = [&](size_t count) {
      std::fill(list.begin(), list.end(), 0);
      std::fill_n(list.begin(), count, 1);
    };
    set(0);
    if (auto none = try_plan()) {
      plan = std::move(*none);
      return;
    }
    while (fits - fails > 1) {
      const size_t middle = (fits + fails) / 2;
      set(middle);
      if (auto smaller = try_plan()) {
        plan = std::move(*smaller);
        fits = middle;
      } else {
        fails = middle;
      }
    }
    set(fits);
  }

  SearchResult finish() {
    if (result_.candidates.empty()) {
      // The message of the plan that comes nearest.
      request_.knobs = smallest_;
      request_.part = smallest_part_;
      make_plan(request_);
      fail(ErrorKind::Internal, "[plan] a plan that did not fit fits now");
    }
    std::stable_sort(result_.candidates.begin(), result_.candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.seconds < b.seconds; });
    return std::move(result_);
  }

  PlanRequest request_;
  const SearchOptions& options_;
  size_t calls_;
  SearchResult result_;
  std::int64_t smallest_bytes_ = 0;
  PlanKnobs smallest_;
  StepPart smallest_part_ = StepPart::whole;
};

}  // namespace

SearchResult search_plan(const PlanRequest& request, const SearchOptions& options) {
  return Search(request, options).run();
}

}  // namespace outsize
