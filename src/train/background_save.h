// A checkpoint is written while the next step computes. Forward and backward only read weights and
// optimizer state, so they go to disk from where they lie: no copy, no memory. Whoever is about to
// change them calls finish() first; if the disk is slower than a forward and backward, the updates
// wait for it.
#pragma once

#include <functional>
#include <future>

namespace outsize {

class BackgroundSave {
 public:
  BackgroundSave() = default;
  BackgroundSave(const BackgroundSave&) = delete;
  BackgroundSave& operator=(const BackgroundSave&) = delete;
  // Waits; what the save throws then is lost, as the run has failed already.
  ~BackgroundSave() {
    if (running_.valid()) running_.wait();
  }

  // After finish(). `save` runs in a thread of its own.
  void start(std::function<void()> save) {
    running_ = std::async(std::launch::async, std::move(save));
  }
  // Waits for the save, if there is one, and throws what it threw.
  void finish() {
    if (running_.valid()) running_.get();
  }

 private:
  std::future<void> running_;
};

}  // namespace outsize
