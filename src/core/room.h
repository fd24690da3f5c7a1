// What a full disk does to whoever writes: it fails at once, unless somebody waits for room.
// Writers of this process (core/file.h, storage, metrics, checkpoints) ask here before they give
// up, so that a write goes on where it stood.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace outsize {

// ENOSPC, EDQUOT.
bool is_no_space(int error);

// A write of `bytes` to `path` found no space: true when there may be some now and it shall be
// tried again. False at once when nobody waits. Any thread; hold no lock that others need.
bool wait_for_room(const std::string& path, std::uint64_t bytes) noexcept;

// Answers wait_for_room while it lives; one at a time. `wait` must not throw and may be called by
// several threads at once.
class RoomWaiter {
 public:
  using Wait = std::function<bool(const std::string& path, std::uint64_t bytes)>;
  explicit RoomWaiter(Wait wait);
  ~RoomWaiter();  // nobody may be writing
  RoomWaiter(const RoomWaiter&) = delete;
  RoomWaiter& operator=(const RoomWaiter&) = delete;

 private:
  friend bool wait_for_room(const std::string&, std::uint64_t) noexcept;
  Wait wait_;
};

}  // namespace outsize
