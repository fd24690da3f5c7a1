// Plans for a store with one spare slot and a gradient log: whatever would leave a crash with
// neither the old state nor all that is needed for the new one is found by the checker.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>

#include "core/error.h"
#include "plan/check.h"
#include "plan/check_ring.h"
#include "plan/random_plan.h"

namespace outsize::testing_plan {
namespace {

// Of a random program that trains, with some of everything streamed and gradients in RAM: then
// nothing but the checker's own rules stands between the log and the updates.
std::optional<Plan> ring_plan(std::uint64_t seed, StepPart part, Dice& dice) {
  RandomRequest random(seed);
  if (!random.request.training) return std::nullopt;
  PlanKnobs& knobs = random.request.knobs;
  knobs.durable = knobs.ring = true;
  if (part != StepPart::whole) knobs.updates = UpdateTime::next_forward;
  knobs.vertical = dice.chance(0.5);
  for (auto* list : {&knobs.stream_weights, &knobs.stream_state, &knobs.offload_saved}) {
    list->resize(random.program.calls.size());
    for (char& flag : *list) flag = dice.chance(0.5);
  }
  knobs.store_block = kMovedAlignment;
  knobs.piece_elements = 2048;
  random.request.part = part;
  return make_plan(random.request);
}

bool is_sound(const Plan& plan) {
  try {
    check_ring(plan);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::vector<size_t> tasks_where(const Plan& plan, const std::function<bool(const Task&)>& is) {
  std::vector<size_t> list;
  for (size_t t = 0; t < plan.tasks.size(); ++t)
    if (is(plan.tasks[t])) list.push_back(t);
  return list;
}

std::vector<size_t> writes_to(const Plan& plan, Tier tier) {
  return tasks_where(plan, [&](const Task& task) {
    return task.kind == TaskKind::write &&
           plan.buffers[static_cast<size_t>(task.moves.front().to)].extent.tier == tier;
  });
}

std::vector<size_t> of_kind(const Plan& plan, TaskKind kind) {
  return tasks_where(plan, [&](const Task& task) { return task.kind == kind; });
}

// Does the harm, or says that this plan has no place for it.
using Harm = bool (*)(Plan& plan, Dice& dice);

bool forget_a_gradient(Plan& plan, Dice& dice) {
  const auto writes = writes_to(plan, Tier::log);
  auto& moves = plan.tasks[dice.pick(writes)].moves;
  moves.erase(moves.begin() + dice.between(0, static_cast<std::int64_t>(moves.size()) - 1));
  return true;
}

bool log_another_gradient(Plan& plan, Dice& dice) {
  const auto writes = writes_to(plan, Tier::log);
  const size_t one = dice.pick(writes), other = dice.pick(writes);
  if (one == other) return false;
  std::swap(plan.tasks[one].moves.front().from, plan.tasks[other].moves.front().from);
  return true;
}

bool change_a_logged_gradient(Plan& plan, Dice& dice) {
  const auto writes = writes_to(plan, Tier::log);
  const size_t logged = dice.pick(writes);
  const size_t seal = of_kind(plan, TaskKind::seal).front();
  for (size_t t = logged + 1; t < seal; ++t)
    if (plan.tasks[t].kind == TaskKind::backward) {
      plan.tasks[t].writes.push_back(plan.tasks[logged].moves.front().from);
      return true;
    }
  return false;
}

bool seal_too_late(Plan& plan, Dice&) {
  const size_t seal = of_kind(plan, TaskKind::seal).front();
  for (const size_t write : writes_to(plan, Tier::store))
    if (write > seal) {
      std::rotate(plan.tasks.begin() + static_cast<std::ptrdiff_t>(seal),
                  plan.tasks.begin() + static_cast<std::ptrdiff_t>(seal) + 1,
                  plan.tasks.begin() + static_cast<std::ptrdiff_t>(write) + 1);
      return true;
    }
  return false;
}

bool seal_without_the_norm(Plan& plan, Dice&) {
  plan.tasks[of_kind(plan, TaskKind::seal).front()].reads.clear();
  return true;
}

bool seal_less_than_the_log(Plan& plan, Dice&) {
  plan.tasks[of_kind(plan, TaskKind::seal).front()].writes.pop_back();
  return true;
}

// The names of two groups change places, everywhere: their updates then come in the wrong order.
bool swap_groups(Plan& plan, Dice& dice) {
  const auto published = of_kind(plan, TaskKind::publish);
  const int one = plan.tasks[dice.pick(published)].group;
  const int other = plan.tasks[dice.pick(published)].group;
  if (one == other) return false;
  const auto rename = [&](int& group) {
    group = group == one ? other : group == other ? one : group;
  };
  for (auto& items : plan.store)
    for (StoreItem& item : items) rename(item.group);
  for (const size_t t : published) rename(plan.tasks[t].group);
  return true;
}

bool publish_half_a_group(Plan& plan, Dice& dice) {
  const auto writes = writes_to(plan, Tier::store);
  auto& moves = plan.tasks[dice.pick(writes)].moves;
  moves.pop_back();
  return true;
}

bool leave_out(Plan& plan, Dice& dice, TaskKind kind) {
  const auto list = of_kind(plan, kind);
  plan.tasks.erase(plan.tasks.begin() + static_cast<std::ptrdiff_t>(dice.pick(list)));
  return true;
}

bool leave_out_a_publish(Plan& plan, Dice& dice) {
  return leave_out(plan, dice, TaskKind::publish);
}

bool leave_out_the_seal(Plan& plan, Dice& dice) {
  return leave_out(plan, dice, TaskKind::seal);
}

bool leave_out_the_commit(Plan& plan, Dice& dice) {
  return leave_out(plan, dice, TaskKind::commit);
}

struct Case {
  const char* name;
  StepPart part;
  Harm harm;
};

class RingPlans : public ::testing::TestWithParam<Case> {};

TEST_P(RingPlans, WithAMistakeAreFound) {
  constexpr int kPlans = 200;
  int harmed = 0, caught = 0;
  for (std::uint64_t seed = 0; harmed < kPlans; ++seed) {
    Dice dice(seed + 5000000);
    auto plan = ring_plan(seed, GetParam().part, dice);
    if (!plan) continue;
    EXPECT_NO_THROW(check_plan(*plan)) << "seed " << seed;
    if (!GetParam().harm(*plan, dice)) continue;
    ++harmed;
    caught += !is_sound(*plan);
  }
  std::printf("%s: %d plans, %d caught\n", GetParam().name, harmed, caught);
  EXPECT_EQ(caught, harmed);
}

INSTANTIATE_TEST_SUITE_P(
    Mistakes, RingPlans,
    ::testing::Values(Case{"forget_a_gradient", StepPart::whole, forget_a_gradient},
                      Case{"forget_a_gradient_later", StepPart::middle, forget_a_gradient},
                      Case{"log_another_gradient", StepPart::whole, log_another_gradient},
                      Case{"change_a_logged_gradient", StepPart::begin, change_a_logged_gradient},
                      Case{"seal_too_late", StepPart::whole, seal_too_late},
                      Case{"seal_without_the_norm", StepPart::whole, seal_without_the_norm},
                      Case{"seal_less_than_the_log", StepPart::middle, seal_less_than_the_log},
                      Case{"swap_groups", StepPart::whole, swap_groups},
                      Case{"swap_groups_later", StepPart::middle, swap_groups},
                      Case{"publish_half_a_group", StepPart::end, publish_half_a_group},
                      Case{"leave_out_a_publish", StepPart::whole, leave_out_a_publish},
                      Case{"leave_out_the_seal", StepPart::whole, leave_out_the_seal},
                      Case{"leave_out_the_seal_later", StepPart::middle, leave_out_the_seal},
                      Case{"leave_out_the_commit", StepPart::middle, leave_out_the_commit}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace outsize::testing_plan
