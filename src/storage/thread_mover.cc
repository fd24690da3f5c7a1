#include "storage/thread_mover.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace outsize {
namespace {

// More do not fill a disk better, and each takes time from the arithmetic.
constexpr int kMaxThreads = 4;

// A ring of fixed capacity: at most `depth` pieces are in flight.
template <class T>
class Ring {
 public:
  explicit Ring(int capacity) : items_(static_cast<std::size_t>(capacity)) {}
  bool empty() const { return count_ == 0; }
  void push(const T& item) { items_[(first_ + count_++) % items_.size()] = item; }
  T pop() {
    const T item = items_[first_];
    first_ = (first_ + 1) % items_.size();
    --count_;
    return item;
  }

 private:
  std::vector<T> items_;
  std::size_t first_ = 0, count_ = 0;
};

class ThreadMover : public PieceMover {
 public:
  ThreadMover(int descriptor, int depth) : descriptor_(descriptor), waiting_(depth), done_(depth) {
    for (int i = 0; i < std::min(depth, kMaxThreads); ++i)
      threads_.emplace_back([this] { work(); });
  }
  ~ThreadMover() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    work_there_.notify_all();
  }

  void start(const FilePiece& piece) noexcept override {
    const std::lock_guard lock(mutex_);
    waiting_.push(piece);
    work_there_.notify_one();
  }

  void flush() noexcept override {}

  int collect(std::span<MovedPiece> moved) noexcept override {
    std::unique_lock lock(mutex_);
    piece_done_.wait(lock, [this] { return !done_.empty(); });
    int count = 0;
    while (!done_.empty() && count < static_cast<int>(moved.size()))
      moved[static_cast<std::size_t>(count++)] = done_.pop();
    return count;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      work_there_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      const FilePiece piece = waiting_.pop();
      lock.unlock();
      const std::int64_t result = move(piece);
      lock.lock();
      done_.push({piece.id, result});
      piece_done_.notify_one();
    }
  }

  std::int64_t move(const FilePiece& piece) const {
    const auto offset = static_cast<off_t>(piece.offset);
    const ssize_t moved = piece.write ? ::pwrite(descriptor_, piece.memory, piece.bytes, offset)
                                      : ::pread(descriptor_, piece.memory, piece.bytes, offset);
    return moved < 0 ? -errno : moved;
  }

  int descriptor_;
  std::mutex mutex_;
  std::condition_variable work_there_, piece_done_;
  Ring<FilePiece> waiting_;
  Ring<MovedPiece> done_;
  bool stop_ = false;
  std::vector<std::jthread> threads_;  // last: they end before what they use
};

}  // namespace

std::unique_ptr<PieceMover> make_thread_mover(int descriptor, int depth) {
  return std::make_unique<ThreadMover>(descriptor, depth);
}

}  // namespace outsize
