// A step that was handed over to a run is committed by that run, however late, and by no other.
#include "train/durable_state.h"

#include <gtest/gtest.h>

#include <vector>

#include "storage/temp_folder.h"
#include "train/training.h"

namespace outsize::train_test {
namespace {

TEST(DurableState, CommitsWithinARunWhatWasHandedOverToItAlone) {
  const TempFolder folder(memory_folder());
  const Training training({});
  const auto engine =
      training.plan({.knobs = everything_streamed(training.model(), /*vertical=*/true)});
  DurableState state(folder.path(), engine->program(), engine->plan(), engine->scratch_bytes(),
                     4096);
  // As a step writes all groups before it is committed.
  const auto write_all = [&] {
    state.fill([&](const WeightSink& sink) {
      for (size_t p = 0; p < engine->program().parameters.size(); ++p) {
        const std::vector<float> weights(
            static_cast<size_t>(engine->program().parameters[p].type.shape.numel()), 1.0F);
        sink.take(static_cast<int>(p), 0, std::ssize(weights), weights.data());
      }
    });
  };

  write_all();
  state.hand_over(1, 5, "five");
  state.commit_handed_over(2);
  EXPECT_TRUE(state.fresh()) << "nothing was handed to the second run";
  state.hand_over(2, 6, "six");
  state.commit_handed_over(1);
  EXPECT_EQ(state.step(), 5);
  EXPECT_EQ(state.blob(), "five");
  state.commit_handed_over(1);
  EXPECT_EQ(state.step(), 5) << "committed once";

  write_all();
  state.commit_handed_over(1);
  EXPECT_EQ(state.step(), 5) << "the first run has nothing left, and six is not its own";
  state.commit_handed_over(2);
  EXPECT_EQ(state.step(), 6);
  EXPECT_EQ(state.blob(), "six");

  write_all();
  state.hand_over(3, 7, "seven");
  state.commit(7, "at once");
  EXPECT_EQ(state.blob(), "at once");
  write_all();
  state.commit_handed_over(3);
  EXPECT_EQ(state.step(), 7) << "a commit at once leaves nothing handed over";
}

}  // namespace
}  // namespace outsize::train_test
