#include "storage/uring_mover.h"

#include <liburing.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "core/error.h"

namespace outsize {
namespace {

// The kernel takes at most 1 GiB as one registered buffer, and 16,384 of them.
constexpr std::size_t kRegisteredBytes = std::size_t{1} << 30;
constexpr std::size_t kMaxRegistered = 1 << 14;

class UringMover : public PieceMover {
 public:
  // `error` becomes an errno when the kernel refuses.
  UringMover(int descriptor, int depth, int& error) : descriptor_(descriptor) {
    error = -::io_uring_queue_init(static_cast<unsigned>(depth), &ring_, 0);
    valid_ = error == 0;
  }
  ~UringMover() override {
    if (valid_) ::io_uring_queue_exit(&ring_);
  }
  UringMover(const UringMover&) = delete;
  UringMover& operator=(const UringMover&) = delete;

  void start(const FilePiece& piece) noexcept override {
    // The ring has as many entries as there are pieces: one is always free after flush.
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    const auto bytes = static_cast<unsigned>(piece.bytes);
    const int buffer = buffer_of(piece);
    if (buffer >= 0 && piece.write)
      ::io_uring_prep_write_fixed(entry, descriptor_, piece.memory, bytes, piece.offset, buffer);
    else if (buffer >= 0)
      ::io_uring_prep_read_fixed(entry, descriptor_, piece.memory, bytes, piece.offset, buffer);
    else if (piece.write)
      ::io_uring_prep_write(entry, descriptor_, piece.memory, bytes, piece.offset);
    else
      ::io_uring_prep_read(entry, descriptor_, piece.memory, bytes, piece.offset);
    ::io_uring_sqe_set_data64(entry, piece.id);
  }

  void flush() noexcept override {
    while (::io_uring_sq_ready(&ring_) > 0) {
      const int result = ::io_uring_submit(&ring_);
      if (result >= 0 || result == -EINTR) continue;
      // Anything but a shortage means that the ring itself is wrong: our bug, and noexcept ends it.
      ensure(result == -EAGAIN || result == -EBUSY, "[uring] cannot submit; got: {}",
             std::strerror(-result));
      std::this_thread::yield();
    }
  }

  int collect(std::span<MovedPiece> moved) noexcept override {
    io_uring_cqe* entry = nullptr;
    int result = 0;
    do {
      result = ::io_uring_wait_cqe(&ring_, &entry);
    } while (result == -EINTR || result == -EAGAIN);
    ensure(result == 0, "[uring] cannot wait; got: {}", std::strerror(-result));
    int count = 0;
    while (entry != nullptr && count < static_cast<int>(moved.size())) {
      moved[static_cast<std::size_t>(count++)] = {static_cast<std::uint32_t>(entry->user_data),
                                                  entry->res};
      ::io_uring_cqe_seen(&ring_, entry);
      if (::io_uring_peek_cqe(&ring_, &entry) != 0) break;
    }
    return count;
  }

  // Refused where the memory may not be locked (RLIMIT_MEMLOCK); pieces then go unregistered.
  bool register_memory(std::span<std::byte> memory) noexcept override {
    const std::size_t count = (memory.size() + kRegisteredBytes - 1) / kRegisteredBytes;
    if (count == 0 || count > kMaxRegistered || !memory_.empty()) return false;
    std::vector<iovec> parts(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t first = i * kRegisteredBytes;
      parts[i] = {memory.data() + first, std::min(kRegisteredBytes, memory.size() - first)};
    }
    if (::io_uring_register_buffers(&ring_, parts.data(), static_cast<unsigned>(count)) != 0)
      return false;
    memory_ = memory;
    return true;
  }

 private:
  // Of the registered part that holds all of the piece, or -1.
  int buffer_of(const FilePiece& piece) const {
    if (piece.memory < memory_.data() || piece.memory >= memory_.data() + memory_.size()) return -1;
    const auto first = static_cast<std::size_t>(piece.memory - memory_.data());
    const std::size_t last = first + piece.bytes - 1;
    if (last >= memory_.size() || first / kRegisteredBytes != last / kRegisteredBytes) return -1;
    return static_cast<int>(first / kRegisteredBytes);
  }

  int descriptor_;
  io_uring ring_{};
  bool valid_ = false;
  std::span<std::byte> memory_;
};

}  // namespace

std::unique_ptr<PieceMover> make_uring_mover(int descriptor, int depth, std::string& reason) {
  int error = 0;
  auto mover = std::make_unique<UringMover>(descriptor, depth, error);
  if (error == 0) return mover;
  reason = std::strerror(error);
  return nullptr;
}

}  // namespace outsize
