// kill -9 on a process that trains on real files: at random instants and at every kill point. What
// is left is taken up again until the run is over, and must be what an undisturbed run leaves.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "storage/real_disk.h"
#include "storage/temp_folder.h"
#include "storage/twin/sim_disk.h"
#include "storage/twin/toy_run.h"

namespace outsize {
namespace {

// The child's exit when it has come to the end of the run; killed otherwise.
constexpr int kFinished = 0, kRefused = 3;

pid_t start_child(const std::string& folder, const ToyOptions& options) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  int status = kFinished;
  try {
    const auto disk = make_real_disk();
    (void)run_toy(*disk, folder, options);
  } catch (const Error& error) {
    std::cerr << error.what() << "\n";
    status = kRefused;
  }
  ::_exit(status);
}

// True when the child was killed, false when it finished.
bool was_killed(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  if (WIFSIGNALED(status)) return true;
  EXPECT_EQ(WEXITSTATUS(status), kFinished);
  return false;
}

TEST(Kill, AtRandomInstants) {
  for (const StoreScheme scheme : {StoreScheme::two_slots, StoreScheme::ring}) {
    const TempFolder folder;
    ToyOptions options{.scheme = scheme, .steps = 4000, .scale = 4};
    Dice dice(static_cast<std::uint64_t>(scheme));
    int kills = 0;
    for (int i = 0; i < 25; ++i) {
      const pid_t child = start_child(folder.path(), options);
      ::usleep(static_cast<useconds_t>(1000 + dice.below(40000)));
      ::kill(child, SIGKILL);
      kills += was_killed(child);
    }
    const auto disk = make_real_disk();
    const bool found = StateStore::exists(*disk, folder.path());
    const std::int64_t step =
        found ? StateStore::open(*disk, folder.path(), {})->step() : std::int64_t{0};
    options.steps = step + 3;
    EXPECT_TRUE(run_toy(*disk, folder.path(), options) == toy_expected(options));
    std::cout << kills << " kills in " << step << " steps\n";
    EXPECT_GE(kills, 10);
  }
}

TEST(Kill, AtEveryKillPoint) {
  int kills = 0;
  for (const StoreScheme scheme : {StoreScheme::two_slots, StoreScheme::ring})
    for (int point = 0; point < kKillPointCount; ++point) {
      const TempFolder folder;
      ToyOptions options{.scheme = scheme, .steps = 3};
      const ToyState expected = toy_expected(options);
      ToyOptions killed = options;
      int turn = 1 + point % 3;  // not always in the first step
      killed.on_kill_point = [&](KillPoint reached) {
        if (static_cast<int>(reached) == point && --turn == 0) ::raise(SIGKILL);
      };
      kills += was_killed(start_child(folder.path(), killed));
      turn = 1;
      kills += was_killed(start_child(folder.path(), killed));
      const auto disk = make_real_disk();
      EXPECT_TRUE(run_toy(*disk, folder.path(), options) == expected)
          << name_of(static_cast<KillPoint>(point));
    }
  std::cout << kills << " kills\n";
  EXPECT_GE(kills, 40);
}

}  // namespace
}  // namespace outsize
