#include "storage/request_queue.h"

#include <algorithm>
#include <cerrno>

#include "core/room.h"
#include "storage/aligned_buffer.h"

namespace outsize {
namespace {

// A piece that was interrupted or got nowhere so often in a row is refused.
constexpr int kMaxTries = 1000;

bool is_transient(std::int64_t result) {
  return result == -EINTR || result == -EAGAIN;
}

}  // namespace

RequestQueue::RequestQueue(RawFile& file, const QueueOptions& options, bool write)
    : file_(file), options_(options), write_(write), mover_(file.make_mover(options.depth)) {
  requests_.resize(static_cast<std::size_t>(options.requests));
  active_.resize(static_cast<std::size_t>(options.depth));
  moved_.resize(active_.size());
  uncut_.resize(requests_.size());
  for (std::uint32_t i = 0; i < active_.size(); ++i) free_pieces_.push_back(i);
  for (std::uint32_t i = 0; i < requests_.size(); ++i) free_requests_.push_back(i);
}

RequestQueue::~RequestQueue() {
  (void)wait_all();
}

IoTicket RequestQueue::submit(std::uint64_t offset, std::byte* memory, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (free_requests_.empty()) return {};
  const std::uint32_t slot = free_requests_.back();
  free_requests_.pop_back();
  Request& request = requests_[slot];
  request = {memory, offset, bytes, 0, 0, request.generation, true, {}};
  if (bytes > 0) {
    uncut_[(uncut_first_ + uncut_count_) % uncut_.size()] = slot;
    ++uncut_count_;
    start_pieces();
  }
  return {slot, request.generation, write_};
}

// Oldest request first, so that what was asked for first is there first.
void RequestQueue::start_pieces() {
  bool started = false;
  while (uncut_count_ > 0 && !free_pieces_.empty()) {
    const std::uint32_t slot = uncut_[uncut_first_];
    Request& request = requests_[slot];
    if (request.status.ok()) {
      const std::uint32_t id = free_pieces_.back();
      free_pieces_.pop_back();
      const std::uint64_t bytes = std::min(options_.block_bytes, request.bytes - request.cut);
      active_[id] = {
          {id, write_, request.memory + request.cut, request.offset + request.cut, bytes}, slot, 0};
      request.cut += bytes;
      ++request.moving;
      mover_->start(active_[id].piece);
      started = true;
    }
    if (request.cut == request.bytes || !request.status.ok()) {
      uncut_first_ = (uncut_first_ + 1) % uncut_.size();
      --uncut_count_;
    }
  }
  if (started) mover_->flush();
}

void RequestQueue::fail_request(Request& request, IoCode code, int error) {
  if (!request.status.ok()) return;
  request.status = {code, error, request.offset, request.bytes};
}

void RequestQueue::end_piece(std::uint32_t id) {
  --requests_[active_[id].request].moving;
  free_pieces_.push_back(id);
}

void RequestQueue::settle(const MovedPiece& moved) {
  Active& active = active_[moved.id];
  Request& request = requests_[active.request];
  const bool transient = is_transient(moved.result);
  if (moved.result < 0 && !transient) {
    const int error = static_cast<int>(-moved.result);
    fail_request(request, code_of_errno(error), error);
    return end_piece(moved.id);
  }
  const std::uint64_t moved_bytes = transient ? 0 : static_cast<std::uint64_t>(moved.result);
  if (moved_bytes == active.piece.bytes) return end_piece(moved.id);
  // Direct I/O cannot go on within a page: a part of one is moved again.
  const std::uint64_t kept = moved_bytes / kPageBytes * kPageBytes;
  const bool end_of_file = !write_ && moved.result == 0;
  active.tries = kept > 0 ? 0 : active.tries + 1;
  if (end_of_file || active.tries > kMaxTries || !request.status.ok()) {
    fail_request(request, IoCode::io, transient ? static_cast<int>(-moved.result) : 0);
    return end_piece(moved.id);
  }
  active.piece.offset += kept;
  active.piece.memory += kept;
  active.piece.bytes -= kept;
  mover_->start(active.piece);
  mover_->flush();
}

// A piece that met a full disk moves again once there is room. Without the lock: a piece in flight
// is nobody else's, and others may go on asking.
void RequestQueue::wait_if_full(MovedPiece& moved) {
  if (!write_ || moved.result >= 0 || !is_no_space(static_cast<int>(-moved.result))) return;
  Active& active = active_[moved.id];
  if (!wait_for_room(file_.path(), active.piece.bytes)) return;
  active.tries = 0;
  moved.result = -EAGAIN;
}

// One thread waits in the mover, without the lock; the others wait until it has news.
void RequestQueue::drive(std::unique_lock<std::mutex>& lock) {
  if (collecting_) {
    changed_.wait(lock);
    return;
  }
  collecting_ = true;
  lock.unlock();
  const int count = mover_->collect(moved_);
  for (int i = 0; i < count; ++i) wait_if_full(moved_[static_cast<std::size_t>(i)]);
  lock.lock();
  collecting_ = false;
  for (int i = 0; i < count; ++i) settle(moved_[static_cast<std::size_t>(i)]);
  start_pieces();
  changed_.notify_all();
}

IoStatus RequestQueue::finish(std::unique_lock<std::mutex>& lock, std::uint32_t slot) {
  Request& request = requests_[slot];
  while (!request.ended()) drive(lock);
  // A failed request may still stand among the uncut ones; start_pieces drops those from the front.
  if (request.cut < request.bytes) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < uncut_count_; ++i) {
      const std::uint32_t other = uncut_[(uncut_first_ + i) % uncut_.size()];
      if (other != slot) uncut_[(uncut_first_ + kept++) % uncut_.size()] = other;
    }
    uncut_count_ = kept;
  }
  const IoStatus status = request.status;
  const std::uint64_t offset = request.offset, bytes = request.bytes;
  request.used = false;
  if (++request.generation == 0) request.generation = 1;
  free_requests_.push_back(slot);
  lock.unlock();
  const int lost = file_.forget(offset, bytes, write_);
  return lost == 0 ? status : IoStatus{IoCode::failed, lost, offset, bytes};
}

IoStatus RequestQueue::wait(IoTicket ticket) {
  std::unique_lock lock(mutex_);
  if (ticket.generation == 0) return {IoCode::busy};
  if (ticket.slot >= requests_.size() || !requests_[ticket.slot].used ||
      requests_[ticket.slot].generation != ticket.generation)
    return {IoCode::invalid};
  return finish(lock, ticket.slot);
}

IoStatus RequestQueue::wait_all() {
  IoStatus first;
  for (std::uint32_t slot = 0; slot < requests_.size(); ++slot) {
    std::unique_lock lock(mutex_);
    if (!requests_[slot].used) continue;
    const IoStatus status = finish(lock, slot);
    if (first.ok()) first = status;
  }
  return first;
}

}  // namespace outsize
