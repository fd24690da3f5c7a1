// The requests of one direction on one file: each is cut into pieces, of which a fixed number is
// in flight; short and interrupted pieces go on where they stopped. The thread that waits drives
// the queue, so there is no thread of its own that would take a core from the arithmetic.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "storage/disk.h"
#include "storage/io_status.h"

namespace outsize {

// Four pieces in flight reach a local SSD's rate, and disturb arithmetic on the same processors
// least (docs/MACHINE.md, "gentlest").
struct QueueOptions {
  std::uint64_t block_bytes = std::uint64_t{1} << 20;  // of a piece; multiple of kPageBytes
  int depth = 4;                                       // pieces in flight, per direction
  int requests = 64;                                   // tickets not yet waited for, per direction
};

// Names a request until it is waited for, once.
struct IoTicket {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;  // 0: of no request
  bool write = false;
};

// Thread-safe. Allocates only in the constructor.
class RequestQueue {
 public:
  RequestQueue(RawFile& file, const QueueOptions& options, bool write);
  ~RequestQueue();  // waits for what is in flight
  RequestQueue(const RequestQueue&) = delete;
  RequestQueue& operator=(const RequestQueue&) = delete;

  // Starts moving as many pieces as fit. The range has been checked. Generation 0 when all tickets
  // are out.
  IoTicket submit(std::uint64_t offset, std::byte* memory, std::uint64_t bytes);
  // Until all pieces have moved, or one has failed and the others have ended. Gives the ticket
  // back.
  IoStatus wait(IoTicket ticket);
  // For every ticket that is out; the first status that is not ok. The tickets are used up.
  IoStatus wait_all();
  bool register_memory(std::span<std::byte> memory) {
    const std::lock_guard lock(mutex_);
    return mover_->register_memory(memory);
  }

 private:
  struct Request {
    std::byte* memory = nullptr;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::uint64_t cut = 0;  // bytes for which pieces have been made
    int moving = 0;         // pieces in flight
    std::uint32_t generation = 1;
    bool used = false;
    IoStatus status;
    bool ended() const { return moving == 0 && (cut == bytes || !status.ok()); }
  };
  struct Active {
    FilePiece piece;  // what remains of it
    std::uint32_t request = 0;
    int tries = 0;  // since it last got on
  };

  void start_pieces();
  void settle(const MovedPiece& moved);
  void wait_if_full(MovedPiece& moved);
  void end_piece(std::uint32_t id);
  void fail_request(Request& request, IoCode code, int error);
  void drive(std::unique_lock<std::mutex>& lock);
  IoStatus finish(std::unique_lock<std::mutex>& lock, std::uint32_t slot);

  RawFile& file_;
  QueueOptions options_;
  bool write_;
  std::unique_ptr<PieceMover> mover_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool collecting_ = false;  // a thread waits in the mover; all others wait for it
  std::vector<Request> requests_;
  std::vector<Active> active_;                // by piece id
  std::vector<std::uint32_t> free_pieces_;    // ids
  std::vector<std::uint32_t> free_requests_;  // slots
  std::vector<std::uint32_t> uncut_;          // ring of slots whose bytes are not all cut
  std::size_t uncut_first_ = 0, uncut_count_ = 0;
  std::vector<MovedPiece> moved_;  // of the collecting thread
};

}  // namespace outsize
