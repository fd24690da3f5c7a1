// Trainings of tiny models on random batches, whose losses, norms and whole state can be compared
// bit for bit, whatever plan they run under.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "train/engine.h"
#include "train/tiny.h"

namespace outsize::train_test {

constexpr std::int64_t kRows = 2, kLength = 24;
constexpr int kAccumulation = 3, kSteps = 4;

// By step: of a run that was interrupted, of some of the steps.
struct Result {
  std::map<std::int64_t, double> losses, norms;
  std::map<std::int64_t, double> validation;  // where updates are deferred not after each
  std::map<std::string, std::string> state;   // by name
};

// What of the numbers found is another than expected, in words; empty: nothing.
std::string difference_of_numbers(const Result& found, const Result& expected);
// The same with every step and all of the state.
std::string difference(const Result& found, const Result& expected);

struct How {
  std::string family = "llama";
  DType dtype = DType::bf16;
  std::string optimizer = "adamw";
  Size size = {};
  double clip = 0.5;  // 0: off
};

class Training {
 public:
  explicit Training(const How& setup);

  std::unique_ptr<TrainingEngine> plan(PlanningOptions options) const;
  void step(TrainingEngine& engine, std::int64_t number, Result& result) const;
  // Steps `from` + 1 to `to`, each committed where the engine is durable; `between`: called before
  // each step and each validation.
  void run(TrainingEngine& engine, std::int64_t from, std::int64_t to, Result& result,
           const std::function<void(TrainingEngine&)>& between = {}) const;
  const Model& model() const { return *model_; }

 private:
  How setup_;
  std::unique_ptr<Model> model_;
  std::vector<Batch> batches_;
  std::int64_t targets_ = 0;
};

std::map<std::string, std::string> state_in_ram(const TrainingEngine& engine);
// Of the items that `like` has, in its sizes.
std::map<std::string, std::string> state_in_store(const std::string& folder,
                                                  const std::map<std::string, std::string>& like);

// What is expected: of so many steps with everything in RAM.
Result in_ram(const How& setup, std::int64_t steps = kSteps);

PlanKnobs everything_streamed(const Model& model, bool vertical);
// Any choice at all, by seed, that a run which clips, or one that does not, may make.
PlanKnobs random_knobs(const Model& model, std::uint64_t seed, bool clips = true);

}  // namespace outsize::train_test
