#include "report/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "config/load.h"
#include "core/error.h"
#include "report/temporary_folder.h"

namespace outsize {
namespace {

using testing::HasSubstr;

RunConfig config_with(const std::vector<std::string>& overrides = {}) {
  return parse_config("model: m\nrun: r\ndata: {train: a.txt}\ntrain: {steps: 10}\n", "x",
                      overrides);
}

TEST(RunFolder, SecondUserIsRefusedByName) {
  const TemporaryFolder folder;
  const std::string path = folder / "deep/run";
  std::optional<RunFolder> first(std::in_place, path + "/");
  EXPECT_EQ(first->path(), path);
  try {
    RunFolder second(path);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr(fmt::format("process {};", ::getpid())));
  }
  first.reset();
  RunFolder third(path);  // free again
}

TEST(RunFolder, LockDiesWithItsProcess) {
  const TemporaryFolder folder;
  const std::string path = folder / "run";
  const pid_t child = ::fork();
  if (child == 0) {
    // tidy: allow banned: the child dies without running destructors, which is the point
    auto* leaked = new RunFolder(path);
    ::_exit(leaked->path() == path ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  RunFolder run(path);
}

TEST(RunFolder, AdoptsAndContinues) {
  const TemporaryFolder folder;
  RunFolder run(folder / "run");
  EXPECT_FALSE(is_run_folder(run.path()));
  EXPECT_TRUE(run.adopt(config_with()).empty());
  EXPECT_TRUE(is_run_folder(run.path()));
  EXPECT_TRUE(run.adopt(config_with()).empty());
  const auto changes = run.adopt(config_with({"train.steps=20", "train.log_every=3"}));
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].path, "train.steps");
  EXPECT_EQ(load_config(run.config_path()).train.steps, 20);
}

TEST(RunFolder, RefusesAnotherConfiguration) {
  const TemporaryFolder folder;
  RunFolder run(folder / "run");
  run.adopt(config_with());
  const std::string stored = contents_of(run.config_path());
  try {
    run.adopt(config_with({"train.seed=2", "train.optimizer.lr=1e-3", "train.log_every=3"}));
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("train.seed: 2 (was 1), train.optimizer.lr: 0.001 (was"));
    EXPECT_THAT(error.what(), Not(HasSubstr("log_every")));
  }
  EXPECT_THROW(run.adopt(config_with({"train.steps=5"})), Error);
  EXPECT_EQ(contents_of(run.config_path()), stored);
}

TEST(RunFolder, DamagedConfigurationIsNamed) {
  const TemporaryFolder folder;
  RunFolder run(folder / "run");
  write_file(run.config_path(), "model: [\n");
  try {
    run.adopt(config_with());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(run.config_path()));
  }
}

TEST(RunFolder, FindsAndPrunesCheckpoints) {
  const TemporaryFolder folder;
  RunFolder run(folder / "run");
  EXPECT_FALSE(run.latest_checkpoint());
  for (const char* name : {"step-2", "step-10", "step-9", "step-010", "step-", "step-1x", "step--3",
                           "step-11.tmp", "other", "removed-step-1"})
    std::filesystem::create_directories(run.checkpoints_path() + "/" + name);
  write_file(run.checkpoints_path() + "/step-99", "a file is no checkpoint");
  write_file(run.checkpoint_path(2) + "/weights", "w");
  EXPECT_EQ(run.checkpoints(), (std::vector<std::int64_t>{2, 9, 10}));
  EXPECT_EQ(latest_checkpoint_of(run.path()), 10);
  EXPECT_THROW(run.adopt(config_with()), Error);  // checkpoints of an unknown configuration
  run.prune_checkpoints(2);
  EXPECT_EQ(run.checkpoints(), (std::vector<std::int64_t>{9, 10}));
  EXPECT_FALSE(std::filesystem::exists(run.checkpoints_path() + "/removed-step-1"));
  EXPECT_FALSE(std::filesystem::exists(run.checkpoints_path() + "/removed-step-2"));
  EXPECT_TRUE(std::filesystem::exists(run.checkpoints_path() + "/other"));
  run.prune_checkpoints(0);
  EXPECT_EQ(run.checkpoints(), std::vector<std::int64_t>{10});
}

TEST(RunFolder, ImpossiblePlacesAreIo) {
  const TemporaryFolder folder;
  write_file(folder / "file", "x");
  for (const std::string& path : {folder / "file", folder / "file/run"}) {
    try {
      RunFolder run(path);
      ADD_FAILURE() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Io);
    }
  }
  EXPECT_THROW(RunFolder(""), Error);
}

}  // namespace
}  // namespace outsize
