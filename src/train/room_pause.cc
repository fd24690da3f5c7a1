#include "train/room_pause.h"

#include <fmt/format.h>

#include <filesystem>
#include <thread>

#include "train/show_plan.h"

namespace outsize {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kRetry{2};       // between tries of one write
constexpr milliseconds kLook{50};  // between looks at the user's wish
constexpr seconds kTell{60};       // between lines about one pause
// Writers that ask again within this time are still in the same pause.
constexpr seconds kSamePause = 3 * kRetry;

std::string show_free(const fs::path& folder) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  return error ? "unknown" : show_bytes(static_cast<std::int64_t>(space.available));
}

}  // namespace

RoomPause::RoomPause(std::function<void(std::string_view)> note, std::function<bool()> stop)
    : note_(std::move(note)),
      stop_(std::move(stop)),
      waiter_([this](const std::string& path, std::uint64_t bytes) { return wait(path, bytes); }) {}

// At the first try of a pause, and once a minute from then on.
void RoomPause::tell(const std::string& path, std::uint64_t bytes, Clock::time_point now) {
  {
    const std::lock_guard lock(mutex_);
    const bool same_pause = now - asked_ < kSamePause;
    asked_ = now;
    if (same_pause && now - told_ < kTell) return;
    told_ = now;
  }
  const fs::path folder = fs::absolute(path).parent_path();
  note_(
      fmt::format("paused: the disk of {} is full; a write to {} needs {} of it, {} are free; "
                  "trying again every {} s; Ctrl-C ends the run",
                  folder.string(), fs::path(path).filename().string(),
                  show_bytes(static_cast<std::int64_t>(bytes)), show_free(folder), kRetry.count()));
}

bool RoomPause::wait(const std::string& path, std::uint64_t bytes) {
  tell(path, bytes, Clock::now());
  const Clock::time_point again = Clock::now() + kRetry;
  while (Clock::now() < again) {
    if (stop_()) {
      gave_up_ = true;
      return false;
    }
    std::this_thread::sleep_for(kLook);
  }
  return true;
}

}  // namespace outsize
