#include "core/room.h"

#include <atomic>
#include <cerrno>

#include "core/error.h"

namespace outsize {
namespace {

std::atomic<RoomWaiter*> waiter{nullptr};

}  // namespace

bool is_no_space(int error) {
  return error == ENOSPC || error == EDQUOT;
}

bool wait_for_room(const std::string& path, std::uint64_t bytes) noexcept {
  RoomWaiter* const current = waiter.load();
  return current != nullptr && current->wait_(path, bytes);
}

RoomWaiter::RoomWaiter(Wait wait) : wait_(std::move(wait)) {
  RoomWaiter* nobody = nullptr;
  ensure(waiter.compare_exchange_strong(nobody, this), "[room] somebody waits already");
}

RoomWaiter::~RoomWaiter() {
  waiter.store(nullptr);
}

}  // namespace outsize
