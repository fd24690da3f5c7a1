#include "train/training.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/parallel.h"
#include "core/rng.h"
#include "storage/aligned_buffer.h"
#include "storage/real_disk.h"

namespace outsize::train_test {
namespace {

std::string other_numbers(const char* name, const std::map<std::int64_t, double>& found,
                          const std::map<std::int64_t, double>& expected) {
  std::string text;
  for (const auto& [step, number] : found)
    if (expected.count(step) == 0 || number != expected.at(step))
      text += fmt::format(" {}.{}", name, step);
  return text;
}

}  // namespace

std::string difference_of_numbers(const Result& found, const Result& expected) {
  return other_numbers("loss", found.losses, expected.losses) +
         other_numbers("norm", found.norms, expected.norms) +
         other_numbers("validation", found.validation, expected.validation);
}

std::string difference(const Result& found, const Result& expected) {
  std::string text = difference_of_numbers(found, expected);
  if (found.losses.size() != expected.losses.size()) text += " count of steps";
  for (const auto& [name, bytes] : expected.state)
    if (found.state.count(name) == 0 || found.state.at(name) != bytes) text += " " + name;
  return text;
}

Training::Training(const How& setup) : setup_(setup), model_(tiny_model(setup.family, setup.size)) {
  set_thread_count(1);  // lanes and a team of threads would fight for few cores
  for (int m = 0; m < kAccumulation; ++m)
    batches_.push_back(random_batch(kRows, kLength, kVocabulary, static_cast<std::uint64_t>(m)));
  for (const Batch& batch : batches_) targets_ += batch.target_tokens;
}

std::unique_ptr<TrainingEngine> Training::plan(PlanningOptions options) const {
  options.clips = setup_.clip > 0;
  return std::make_unique<TrainingEngine>(
      *model_, TrainingShape{kRows, kLength, kAccumulation, setup_.dtype, true},
      OptimizerOptions{.name = setup_.optimizer}, options);
}

void Training::step(TrainingEngine& engine, std::int64_t number, Result& result) const {
  result.losses[number] =
      engine.step(batches_, targets_, {.step = number, .lr = 1e-2, .clip = setup_.clip});
  result.norms[number] = engine.gradient_norm();
}

void Training::run(TrainingEngine& engine, std::int64_t from, std::int64_t to, Result& result,
                   const std::function<void(TrainingEngine&)>& between) const {
  for (std::int64_t number = from + 1; number <= to; ++number) {
    const bool earlier_waits = engine.updates_wait();
    if (between) between(engine);
    step(engine, number, result);
    if (earlier_waits) engine.commit(number - 1, "blob");
    const bool goes_on = number < to && number != 3;  // not always
    if (engine.updates_wait() && goes_on) continue;
    if (engine.plan().carries && goes_on) {
      engine.commit_with_next(number, "blob");
      continue;
    }
    engine.finish_updates();
    if (engine.durable()) engine.commit(number, "blob");
    if (between) between(engine);
    EvaluationTotals totals;
    engine.evaluate(batches_[0], totals);
    result.validation[number] = totals.loss_sum;
  }
}

std::map<std::string, std::string> state_in_ram(const TrainingEngine& engine) {
  std::map<std::string, std::string> state;
  for (const NamedMemory& memory : engine.state())
    state[memory.name] = {static_cast<const char*>(memory.data),
                          static_cast<size_t>(memory.shape.numel() * size_of(memory.dtype))};
  return state;
}

// Of the items that `like` has, in its sizes.
std::map<std::string, std::string> state_in_store(const std::string& folder,
                                                  const std::map<std::string, std::string>& like) {
  const auto disk = make_real_disk();
  const auto store = StateStore::open(*disk, folder + "/store", {});
  std::map<std::string, std::string> state;
  const auto& groups = store->layout().groups;
  for (size_t g = 0; g < groups.size(); ++g)
    for (size_t e = 0; e < groups[g].extents.size(); ++e) {
      AlignedBuffer memory(groups[g].extents[e].bytes);
      const StoreStatus status = store->wait(
          store->read({static_cast<int>(g), static_cast<int>(e), 0, groups[g].extents[e].bytes},
                      memory.data()));
      EXPECT_TRUE(status.ok());
      const std::string& name = groups[g].extents[e].name;
      if (like.count(name) == 0) ADD_FAILURE() << name;
      state[name] = std::string(reinterpret_cast<const char*>(memory.data()), like.at(name).size());
    }
  return state;
}

Result in_ram(const How& setup, std::int64_t steps) {
  const Training training(setup);
  const auto engine = training.plan({});
  engine->allocate();
  engine->randomise(1);
  Result result;
  training.run(*engine, 0, steps, result);
  result.state = state_in_ram(*engine);
  return result;
}

PlanKnobs everything_streamed(const Model& model, bool vertical) {
  const size_t calls =
      model
          .program({.mode = BuildOptions::Mode::training, .tokens = kLength, .row_length = kLength})
          .calls.size();
  PlanKnobs knobs;
  knobs.durable = true;
  knobs.vertical = vertical;
  knobs.stream_weights = knobs.stream_state = knobs.offload_gradients = knobs.offload_saved =
      std::vector<char>(calls, 1);
  knobs.store_block = 4096;
  knobs.piece_elements = 2048;
  knobs.read_ahead_bytes = knobs.write_behind_bytes = 32 << 10;
  return knobs;
}

PlanKnobs random_knobs(const Model& model, std::uint64_t seed, bool clips) {
  const Rng rng(seed, 0x6b6e6f6273);
  std::uint64_t draws = 0;
  const auto chance = [&] { return rng.below(draws++, 2) == 1; };
  PlanKnobs knobs = everything_streamed(model, chance());
  for (auto* list :
       {&knobs.stream_weights, &knobs.stream_state, &knobs.offload_gradients, &knobs.offload_saved})
    for (char& flag : *list) flag = chance();
  for (size_t call = 0; call < knobs.offload_saved.size(); ++call)
    knobs.recompute.push_back(static_cast<Recompute>(rng.below(draws++, kRecomputeCount)));
  if (chance()) knobs.updates = UpdateTime::next_forward;
  knobs.ring = chance();
  if (!clips && !knobs.ring && chance()) knobs.updates = UpdateTime::with_backward;
  knobs.piece_elements = 2048 << rng.below(draws++, 3);
  knobs.read_ahead_bytes = static_cast<std::int64_t>(rng.below(draws++, 100)) << 10;
  knobs.write_behind_bytes = static_cast<std::int64_t>(rng.below(draws++, 100)) << 10;
  knobs.fill_bytes = static_cast<std::int64_t>(rng.below(draws++, 2000)) << 10;
  return knobs;
}

}  // namespace outsize::train_test
