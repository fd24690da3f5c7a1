#include "plan/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "core/error.h"

namespace outsize {
namespace {

// What becomes of the values that backward reads of forward.
struct Way {
  Recompute recompute = Recompute::nothing;
  bool offloaded = false;  // those that are not recomputed
};

std::string name_of(const Way& way) {
  constexpr const char* kNames[] = {"saved values kept", "cheap values recomputed", "recomputed"};
  if (way.offloaded && way.recompute == Recompute::nothing) return "saved values on disk";
  return fmt::format("{}{}", kNames[static_cast<size_t>(way.recompute)],
                     way.offloaded ? ", the rest on disk" : "");
}

class Search {
 public:
  Search(const PlanRequest& request, const SearchOptions& options)
      : request_(request), options_(options), calls_(request.program->calls.size()) {
    if (request.training) count_bytes();
  }

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

  // Of each call's parameters, at the first call that uses them.
  void count_bytes() {
    for (auto* list : {&weight_bytes_, &gradient_bytes_, &state_bytes_}) list->assign(calls_, 0);
    const Program& program = *request_.program;
    std::vector<char> counted(program.parameters.size(), 0);
    for (size_t c = 0; c < calls_; ++c)
      for (const int parameter : program.calls[c].parameters) {
        const auto p = static_cast<size_t>(parameter);
        if (std::exchange(counted[p], 1) != 0) continue;
        const ValueType& type = program.parameters[p].type;
        weight_bytes_[c] += type.bytes();
        gradient_bytes_[c] += type.shape.numel() * 4;
        for (const StateBytes& state : request_.training->optimizer[p])
          state_bytes_[c] += state.bytes;
      }
  }

  void try_recompute_in_ram() {
    for (const Recompute level : {Recompute::cheap, Recompute::everything}) {
      request_.knobs.recompute.assign(calls_, level);
      std::optional<Plan> plan = try_plan();
      if (!plan) continue;
      recompute_less(level, *plan);
      keep(fmt::format("all in RAM, {}", name_of(Way{level, false})), std::move(*plan));
      break;
    }
    request_.knobs.recompute.clear();
  }

  void try_disk() {
    request_.knobs.durable = true;
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
      for (const Streamed& streamed : promising(vertical)) {
        stream_all(vertical, streamed.way);
        set_window(streamed.window);
        make_resident(streamed.way);
        request_.knobs = before;
      }
    }
  }

  // A way with everything streamed.
  struct Streamed {
    Way way;
    std::int64_t window = 0;  // bytes
    double seconds = std::numeric_limits<double>::infinity();
  };

  // Those that fit, the fastest first. To look further into all of them takes too long for very
  // deep models.
  std::vector<Streamed> promising(bool vertical) {
    constexpr size_t kDeep = 200;
    std::vector<Streamed> list;
    const PlanKnobs before = request_.knobs;
    for (const Recompute level : {Recompute::nothing, Recompute::cheap, Recompute::everything})
      for (const bool offloaded : {false, true}) {
        if (level != Recompute::nothing && request_.recomputing.empty()) continue;
        stream_all(vertical, {level, offloaded});
        const Streamed streamed = with_best_window({level, offloaded});
        if (streamed.window > 0) list.push_back(streamed);
        request_.knobs = before;
      }
    std::stable_sort(list.begin(), list.end(),
                     [](const Streamed& a, const Streamed& b) { return a.seconds < b.seconds; });
    if (calls_ > kDeep && list.size() > 1) list.resize(1);
    return list;
  }

  void set_window(std::int64_t bytes) {
    request_.knobs.read_ahead_bytes = request_.knobs.write_behind_bytes = bytes;
  }

  // The least window that no larger one beats by more than it is worth; no window where none fits.
  Streamed with_best_window(const Way& way) {
    constexpr double kWorth = 0.995;
    Streamed best{way};
    for (std::int64_t share = 64; share >= 2; share /= 2) {
      const std::int64_t window = std::max<std::int64_t>(request_.budget_bytes / share, 1);
      set_window(window);
      const auto plan = try_plan();
      if (!plan) break;
      const double seconds = simulate(*plan, options_.machine).seconds;
      if (seconds < best.seconds * kWorth) best = {way, window, seconds};
    }
    return best;
  }

  void stream_all(bool vertical, const Way& way) {
    PlanKnobs& knobs = request_.knobs;
    knobs.vertical = vertical;
    const std::vector<char> all(calls_, 1);
    knobs.stream_weights = knobs.stream_state = knobs.offload_gradients = all;
    // A horizontal pass adds to all gradients again and again: they stay.
    if (!vertical && request_.training->accumulation > 1) knobs.offload_gradients.clear();
    if (way.recompute != Recompute::nothing) knobs.recompute.assign(calls_, way.recompute);
    if (way.offloaded) knobs.offload_saved = all;
  }

  // As much as fits, in the order of time saved per byte.
  void make_resident(const Way& way) {
    PlanKnobs& knobs = request_.knobs;
    std::optional<Plan> plan = try_plan();
    if (!plan) return;
    stream_less(knobs.stream_weights, weight_bytes_, *plan);
    stream_less(knobs.offload_gradients, gradient_bytes_, *plan);
    offload_less(*plan);
    recompute_less(way.recompute, *plan);
    stream_less(knobs.stream_state, state_bytes_, *plan);
    if (!parts_fit()) return;
    keep(fmt::format("{}, {}{}", knobs.vertical ? "call by call" : "microbatch by microbatch",
                     name_of(way), knobs.deferred ? ", updates with the next forward" : ""),
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

  // Keeps in RAM what fits, the first calls before the last: what updates need first they then find
  // at once, and the gradients of the first calls wait shortest for the end of backward.
  void stream_less(std::vector<char>& list, const std::vector<std::int64_t>& bytes, Plan& plan) {
    if (list.empty()) return;
    constexpr std::int64_t kParts = 64;
    const std::int64_t all = std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0});
    shrink(kParts, plan, [&](std::int64_t parts) {
      std::int64_t room = all - all / kParts * parts;
      for (size_t c = 0; c < calls_; ++c) {
        list[c] = bytes[c] > room;
        if (list[c] == 0) room -= bytes[c];
      }
    });
  }

  // The last calls' saved values live shortest.
  void offload_less(Plan& plan) {
    auto& list = request_.knobs.offload_saved;
    if (list.empty()) return;
    shrink(static_cast<std::int64_t>(calls_), plan, [&](std::int64_t count) {
      std::fill(list.begin(), list.end(), 0);
      std::fill_n(list.begin(), count, 1);
    });
  }

  // Of the calls that recompute as much as `level`, the last ones do with a level less.
  void recompute_less(Recompute level, Plan& plan) {
    if (level == Recompute::nothing) return;
    const auto less = static_cast<Recompute>(static_cast<int>(level) - 1);
    auto& list = request_.knobs.recompute;
    shrink(static_cast<std::int64_t>(calls_), plan, [&](std::int64_t count) {
      std::fill(list.begin(), list.end(), less);
      std::fill_n(list.begin(), count, level);
    });
  }

  // Finds the smallest number in [0, most] that, set, gives a plan that fits; `most` does, and
  // `plan` is its plan, afterwards that of the number found.
  template <class Set>
  void shrink(std::int64_t most, Plan& plan, const Set& set) {
    set(0);
    if (auto none = try_plan()) {
      plan = std::move(*none);
      return;
    }
    std::int64_t fits = most, fails = 0;
    while (fits - fails > 1) {
      const std::int64_t middle = (fits + fails) / 2;
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
  std::vector<std::int64_t> weight_bytes_, gradient_bytes_, state_bytes_;  // per call
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
