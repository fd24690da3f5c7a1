// Training on a full disk: it pauses, says what it needs, tries again every few seconds and goes on
// when there is room. Every write of the run comes here before it gives up (core/room.h), so it
// goes on in the middle of what it was writing and no bit depends on the pause.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "core/room.h"

namespace outsize {

class RoomPause {
 public:
  // `note` shows a line to the user, `stop` says whether the user wants the run to end: writes are
  // then refused with Io, as if nobody waited. Both are called by any thread that writes.
  RoomPause(std::function<void(std::string_view)> note, std::function<bool()> stop);

  // A write was refused because the user wanted the run to end.
  bool gave_up() const { return gave_up_; }

 private:
  using Clock = std::chrono::steady_clock;

  bool wait(const std::string& path, std::uint64_t bytes);
  void tell(const std::string& path, std::uint64_t bytes, Clock::time_point now);

  std::function<void(std::string_view)> note_;
  std::function<bool()> stop_;
  std::atomic<bool> gave_up_{false};
  std::mutex mutex_;  // of the two below
  Clock::time_point told_{}, asked_{};
  RoomWaiter waiter_;  // last: it calls
};

}  // namespace outsize
