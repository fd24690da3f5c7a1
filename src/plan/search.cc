#include "plan/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/parallel.h"
#include "plan/levers.h"

namespace outsize {
namespace {

// What becomes of the values that backward reads of forward.
struct Way {
  Recompute recompute = Recompute::nothing;
  bool offloaded = false;  // those that are not recomputed
};

// How far reads run ahead of their use, and how long what is written stays where it was; bytes.
struct Windows {
  std::int64_t read = 0, write = 0;
  bool operator==(const Windows&) const = default;
};

// Everything streamed: where the choice of what stays in RAM begins.
struct Start {
  UpdateTime updates = UpdateTime::after_norm;
  bool vertical = false;
  Way way;
  Windows windows;
  double seconds = std::numeric_limits<double>::infinity();  // of the plan that comes of it
};

bool is_faster(const Start& a, const Start& b) {
  return a.seconds < b.seconds;
}

std::string name_of(const Way& way) {
  constexpr const char* kNames[] = {"saved values kept", "cheap values recomputed", "recomputed"};
  if (way.offloaded && way.recompute == Recompute::nothing) return "saved values on disk";
  return fmt::format("{}{}", kNames[static_cast<size_t>(way.recompute)],
                     way.offloaded ? ", the rest on disk" : "");
}

const char* name_of(UpdateTime time) {
  if (time == UpdateTime::after_norm) return "";
  return time == UpdateTime::next_forward ? ", updates with the next forward"
                                          : ", updates with backward";
}

class Search {
 public:
  Search(const PlanRequest& request, const SearchOptions& options)
      : request_(request),
        options_(options),
        calls_(request.program->calls.size()),
        levers_(request),
        budget_(request.budget_bytes) {}

  SearchResult run() {
    request_.knobs.durable = options_.durable;
    request_.knobs.ring = options_.ring;
    const bool trains = request_.training && !request_.training->forward_only;
    const bool at_once = trains && may_update_with_backward();
    // Where every step is written, the writes then go beside backward.
    if (at_once && options_.durable && try_all_in_ram(UpdateTime::with_backward)) return finish();
    if (try_all_in_ram(UpdateTime::after_norm) || !trains) return finish();
    // A gradient's memory is then free as soon as it is whole.
    if (at_once && try_all_in_ram(UpdateTime::with_backward)) return finish();
    if (!request_.recomputing.empty()) try_recompute_in_ram();
    if (options_.may_use_disk) try_disk();
    return finish();
  }

 private:
  bool may_update_with_backward() const { return !request_.training->clips && !options_.ring; }

  // So many calls that hundreds of plans take many seconds: the search then looks at fewer.
  bool deep() const { return calls_ > 200; }

  Plan plan_anyway(PlanDetail detail = PlanDetail::times) {
    const std::int64_t budget = std::exchange(request_.budget_bytes, 0);
    request_.detail = detail;
    Plan plan = make_plan(request_);
    request_.budget_bytes = budget;
    return plan;
  }

  // Absent when it does not fit.
  std::optional<Plan> try_plan() {
    Plan plan = plan_anyway();
    if (fits(plan)) return plan;
    return std::nullopt;
  }

  // Is there room for the knobs as they are?
  bool try_places() { return fits(plan_anyway(PlanDetail::places)); }

  bool fits(const Plan& plan) {
    const std::int64_t budget = request_.budget_bytes;
    if (budget <= 0 || plan.arena_bytes <= budget) return true;
    if (plan.arena_bytes <= budget_) return false;  // only more than it may take just now
    if (smallest_bytes_ == 0 || plan.arena_bytes < smallest_bytes_) {
      smallest_bytes_ = plan.arena_bytes;
      smallest_ = request_.knobs;
      smallest_part_ = request_.part;
    }
    return false;
  }

  void keep(const std::string& name, const Plan& plan) {
    keep({name, request_.knobs, seconds_of(plan), plan.arena_bytes});
  }

  void keep(const Candidate& found) {
    auto& candidates = result_.candidates;
    const bool best = candidates.empty() || found.seconds < candidates.front().seconds;
    for (const Candidate& other : candidates) {
      if (other.seconds == found.seconds && other.arena_bytes == found.arena_bytes) return;
      if (other.name == found.name && other.seconds <= found.seconds) return;
    }
    std::erase_if(candidates, [&](const Candidate& other) { return other.name == found.name; });
    candidates.insert(best ? candidates.begin() : candidates.end(), found);
  }

  // Calls work(search, i) for each i below `count` on a copy of this search, several at once, and
  // takes over what they found in order: the same for any number of threads.
  template <class Work>
  void branch(size_t count, const Work& work) {
    std::vector<Search> branches(count, *this);
    for (Search& search : branches) search.result_ = {};
    std::vector<std::exception_ptr> failures(count);
    parallel_for(static_cast<std::int64_t>(count), 1, [&](std::int64_t begin, std::int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) try {
          work(branches[i], i);
        } catch (...) {
          failures[i] = std::current_exception();
        }
    });
    for (size_t i = 0; i < count; ++i) {
      if (failures[i]) std::rethrow_exception(failures[i]);
      take_over(branches[i]);
    }
  }

  void take_over(const Search& branch) {
    for (const Candidate& found : branch.result_.candidates) keep(found);
    if (branch.smallest_bytes_ == 0) return;
    if (smallest_bytes_ > 0 && smallest_bytes_ <= branch.smallest_bytes_) return;
    smallest_bytes_ = branch.smallest_bytes_;
    smallest_ = branch.smallest_;
    smallest_part_ = branch.smallest_part_;
  }

  double seconds_of(const Plan& plan) const { return simulate(plan, options_.machine).seconds; }

  bool try_all_in_ram(UpdateTime time) {
    request_.knobs.updates = time;
    const std::optional<Plan> plan = try_plan();
    if (plan) keep(fmt::format("all in RAM{}", name_of(time)), *plan);
    return plan.has_value();
  }

  void try_recompute_in_ram() {
    for (const Recompute level : {Recompute::cheap, Recompute::everything}) {
      request_.knobs.recompute.assign(calls_, level);
      if (!try_places()) continue;
      Position recompute{Lever::recompute, static_cast<std::int64_t>(calls_)};
      move(recompute, level);
      keep(fmt::format("all in RAM, {}{}", name_of(Way{level, false}),
                       name_of(request_.knobs.updates)),
           plan_anyway());
      break;
    }
    request_.knobs.recompute.clear();
  }

  void try_disk() {
    request_.knobs.durable = true;
    const bool at_once = may_update_with_backward();
    for (const UpdateTime time : {at_once ? UpdateTime::with_backward : UpdateTime::next_forward,
                                  at_once ? UpdateTime::next_forward : UpdateTime::after_norm}) {
      if (deep() && !result_.candidates.empty()) break;
      set_updates(time);
      try_orders();
    }
    if (!deep()) try_other_windows();
  }

  void set_updates(UpdateTime time) {
    request_.knobs.updates = time;
    request_.part = request_.knobs.deferred() ? StepPart::middle : StepPart::whole;
  }

  void try_orders() {
    const bool one_microbatch = request_.training->accumulation == 1;
    for (const bool vertical : {true, false}) {
      if (deep() && !result_.candidates.empty()) break;
      if (!vertical && (one_microbatch || !can_be_horizontal(request_))) continue;
      std::vector<Start> starts = promising(vertical);
      try_starts(starts);
      starts_.insert(starts_.end(), starts.begin(), starts.end());
    }
  }

  // Finds their seconds.
  void try_starts(std::vector<Start>& starts) {
    branch(starts.size(),
           [&](Search& search, size_t i) { starts[i].seconds = search.try_start(starts[i]); });
  }

  double try_start(const Start& start) {
    set_updates(start.updates);
    stream_all(start.vertical, start.way);
    set_windows(start.windows);
    return make_resident(start.way);
  }

  // The fastest again, with less or more of RAM for what is on its way: their windows were chosen
  // while everything was streamed and RAM was free for them.
  void try_other_windows() {
    constexpr size_t kStarts = 2;
    std::stable_sort(starts_.begin(), starts_.end(), is_faster);
    starts_.resize(std::min(starts_.size(), kStarts));
    halve_windows();
    const auto best = std::min_element(starts_.begin(), starts_.end(), is_faster);
    if (best == starts_.end()) return;
    std::vector<Windows> tried{best->windows};
    while (move_to_faster(*best, tried)) {
    }
  }

  // Of all starts, as long as that is faster.
  void halve_windows() {
    std::vector<size_t> moving(starts_.size());
    std::iota(moving.begin(), moving.end(), 0);
    while (!moving.empty()) {
      std::vector<Start> others;
      for (const size_t i : moving) others.push_back(resized(starts_[i], {0.5, 0.5}));
      try_starts(others);
      std::vector<size_t> moved;
      for (size_t i = 0; i < others.size(); ++i) {
        Start& start = starts_[moving[i]];
        if (!is_faster(others[i], start)) continue;
        start = others[i];
        moved.push_back(moving[i]);
      }
      moving = std::move(moved);
    }
  }

  struct Factors {
    double read, write;
  };

  static Start resized(Start start, const Factors& by) {
    const auto times = [](std::int64_t bytes, double factor) {
      return std::max<std::int64_t>(static_cast<std::int64_t>(static_cast<double>(bytes) * factor),
                                    1);
    };
    start.windows = {times(start.windows.read, by.read), times(start.windows.write, by.write)};
    return start;
  }

  // To the fastest of those with one window half or twice as large that were not tried yet; false:
  // none is faster.
  bool move_to_faster(Start& start, std::vector<Windows>& tried) {
    constexpr double kWorth = 0.998;  // less is not worth the search
    std::vector<Start> others;
    for (const Factors& by : {Factors{0.5, 1}, {1, 0.5}, {2, 1}, {1, 2}}) {
      others.push_back(resized(start, by));
      if (std::find(tried.begin(), tried.end(), others.back().windows) != tried.end())
        others.pop_back();
      else
        tried.push_back(others.back().windows);
    }
    try_starts(others);
    const auto best = std::min_element(others.begin(), others.end(), is_faster);
    if (best == others.end() || best->seconds >= kWorth * start.seconds) return false;
    start = *best;
    return true;
  }

  // The few that are fastest with everything streamed, of those that fit; of deep models one.
  std::vector<Start> promising(bool vertical) {
    std::vector<Start> ways;
    for (const Recompute level : {Recompute::nothing, Recompute::cheap, Recompute::everything})
      for (const bool offloaded : {false, true})
        if (level == Recompute::nothing || !request_.recomputing.empty())
          ways.push_back({request_.knobs.updates, vertical, {level, offloaded}});
    std::vector<std::optional<Start>> found(ways.size());
    branch(ways.size(), [&](Search& search, size_t i) {
      search.stream_all(vertical, ways[i].way);
      found[i] = search.with_best_window(ways[i]);
    });
    std::vector<Start> list;
    for (const auto& start : found)
      if (start) list.push_back(*start);
    std::stable_sort(list.begin(), list.end(), is_faster);
    list.resize(std::min<size_t>(list.size(), deep() ? 1 : 3));
    return list;
  }

  void set_windows(const Windows& windows) {
    request_.knobs.read_ahead_bytes = windows.read;
    request_.knobs.write_behind_bytes = windows.write;
  }

  // The least windows that no larger ones beat by more than they are worth; absent where none fit.
  std::optional<Start> with_best_window(Start start) {
    constexpr double kWorth = 0.995;
    std::optional<Start> best;
    for (std::int64_t share = 64; share >= 2; share /= 2) {
      const std::int64_t window = std::max<std::int64_t>(request_.budget_bytes / share, 1);
      start.windows = {window, window};
      set_windows(start.windows);
      const auto plan = try_plan();
      if (!plan) break;
      start.seconds = seconds_of(*plan);
      if (!best || start.seconds < best->seconds * kWorth) best = start;
      if (deep()) break;
    }
    return best;
  }

  void stream_all(bool vertical, const Way& way) {
    PlanKnobs& knobs = request_.knobs;
    knobs.vertical = vertical;
    const std::vector<char> all(calls_, 1);
    knobs.stream_weights = knobs.stream_state = knobs.offload_gradients = all;
    // They stay where updates come at once, and where a horizontal pass adds to all of them again
    // and again.
    const bool adds_on = !vertical && request_.training->accumulation > 1;
    if (adds_on || knobs.updates == UpdateTime::with_backward) knobs.offload_gradients.clear();
    if (way.recompute != Recompute::nothing) knobs.recompute.assign(calls_, way.recompute);
    if (way.offloaded) knobs.offload_saved = all;
  }

  // As much as fits, in the order of time saved per byte. Seconds of the plan; infinite without
  // one.
  double make_resident(const Way& way) {
    constexpr double kNever = std::numeric_limits<double>::infinity();
    PlanKnobs& knobs = request_.knobs;
    std::optional<Plan> plan = try_plan();
    if (!plan) return kNever;
    const PlanKnobs streamed = knobs;
    std::vector<Position> levers = by_worth(way, *plan);
    // First what costs nothing: RAM that is free until the peak, or after it.
    const std::int64_t budget = std::exchange(request_.budget_bytes, plan->arena_bytes);
    for (Position& lever : levers) move(lever, way);
    request_.budget_bytes = budget;
    for (Position& lever : levers) move(lever, way);
    plan = plan_anyway();
    if (!fits(*plan) || !parts_fit()) {
      knobs = streamed;
      plan = try_plan();
      if (!plan || !parts_fit()) return kNever;
    }
    read_further_ahead(*plan);
    keep(fmt::format("{}, {}{}", knobs.vertical ? "call by call" : "microbatch by microbatch",
                     name_of(way), name_of(knobs.updates)),
         *plan);
    return seconds_of(*plan);
  }

  // Where RAM is free meanwhile. Gaps between buffers take their share of what looks free.
  void read_further_ahead(Plan& plan) {
    const double before = seconds_of(plan);
    for (const std::int64_t percent : {100, 95, 85, 70}) {
      request_.knobs.fill_bytes = request_.budget_bytes / 100 * percent;
      std::optional<Plan> filled = try_plan();
      if (!filled || seconds_of(*filled) >= before || !parts_fit()) continue;
      plan = std::move(*filled);
      return;
    }
    request_.knobs.fill_bytes = 0;
  }

  // The first step and the last updates, and what a crash leaves to do, too.
  bool parts_fit() {
    const StepPart own = request_.part;
    bool fit = true;
    const auto try_part = [&](StepPart part) {
      request_.part = part;
      fit = fit && try_places();
    };
    if (request_.knobs.deferred()) {
      try_part(StepPart::begin);
      try_part(StepPart::end);
    }
    if (request_.knobs.ring) try_part(StepPart::redo);
    request_.part = own;
    return fit;
  }

  // A lever and the step that it is at.
  struct Position {
    Lever lever;
    std::int64_t step = 0;
  };

  // The levers by the time that each alone saves per byte it takes, when moved all the way.
  std::vector<Position> by_worth(const Way& way, const Plan& streamed) {
    struct Worth {
      Position position;
      double seconds_per_byte;
    };
    const double before = seconds_of(streamed);
    std::vector<Worth> list;
    for (const Lever lever : kLevers) {
      const std::int64_t steps = levers_.steps(request_.knobs, lever, way.recompute);
      if (steps == 0) continue;
      const PlanKnobs knobs = request_.knobs;
      levers_.set(request_.knobs, lever, way.recompute, 0);
      const Plan plan = plan_anyway();
      request_.knobs = knobs;
      const double saved = before - seconds_of(plan);
      const auto bytes = std::max<std::int64_t>(plan.arena_bytes - streamed.arena_bytes, 1);
      list.push_back({{lever, steps}, saved / static_cast<double>(bytes)});
    }
    std::stable_sort(list.begin(), list.end(), [](const Worth& a, const Worth& b) {
      return a.seconds_per_byte > b.seconds_per_byte;
    });
    std::vector<Position> levers;
    for (const Worth& worth : list) levers.push_back(worth.position);
    return levers;
  }

  void move(Position& lever, const Way& way) {
    const std::int64_t from = lever.step;
    move(lever, way.recompute);
    if (way.offloaded && lever.lever == Lever::recompute) move_back(lever, from, way.recompute);
  }

  // As far towards 0 as there is room.
  void move(Position& lever, Recompute level) {
    const auto room_at = [&](std::int64_t step) {
      levers_.set(request_.knobs, lever.lever, level, step);
      return try_places();
    };
    std::int64_t fails = -1;
    // All the way, else a single step: often it is one or none.
    for (std::int64_t step = 0; lever.step - fails > 1;
         step = step == 0 ? lever.step - 1 : (lever.step + fails) / 2) {
      if (room_at(step))
        lever.step = step;
      else
        fails = step;
    }
    levers_.set(request_.knobs, lever.lever, level, lever.step);
  }

  // What is not computed again goes to disk, which takes time of its own: not every step that fits
  // is worth it.
  void move_back(Position& lever, std::int64_t to, Recompute level) {
    constexpr int kParts = 4;
    const std::int64_t from = lever.step;
    double best = std::numeric_limits<double>::infinity();
    for (int part = 0; part <= kParts; ++part) {
      const std::int64_t step = from + (to - from) * part / kParts;
      levers_.set(request_.knobs, lever.lever, level, step);
      const std::optional<Plan> plan = try_plan();  // between two that fit may be one that does not
      if (!plan) continue;
      const double seconds = seconds_of(*plan);
      if (seconds >= best) continue;
      best = seconds;
      lever.step = step;
    }
    levers_.set(request_.knobs, lever.lever, level, lever.step);
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
    result_.knobs = result_.candidates.front().knobs;
    request_.knobs = result_.knobs;
    set_updates(result_.knobs.updates);
    result_.plan = plan_anyway(PlanDetail::whole);
    return std::move(result_);
  }

  PlanRequest request_;
  const SearchOptions& options_;
  size_t calls_;
  Levers levers_;
  std::int64_t budget_;  // bytes
  SearchResult result_;
  std::vector<Start> starts_;
  std::int64_t smallest_bytes_ = 0;
  PlanKnobs smallest_;
  StepPart smallest_part_ = StepPart::whole;
};

}  // namespace

SearchResult search_plan(const PlanRequest& request, const SearchOptions& options) {
  return Search(request, options).run();
}

}  // namespace outsize
