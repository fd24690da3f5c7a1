// How much of a loop each thread of the team takes so that all end together. Equal shares make the
// others wait where one core is slower: it also serves a disk (the kernel's and a hypervisor's work
// for 2 GB/s took 30 % of one core, and nothing of the other), or it was built to be slower.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace outsize {

// Shares learned from how long earlier loops took. What is computed must not hang on them.
class Balance {
 public:
  explicit Balance(int threads);

  int threads() const { return static_cast<int>(shares_.size()); }
  // Of all work, in [0, 1]: what the threads before this one take.
  double before(std::int64_t thread) const;

  // Where each thread notes what it did, for learn(); a cache line each.
  struct alignas(64) Done {
    double work = 0, seconds = 0;
  };
  std::span<Done> done() { return done_; }
  // Nothing where a thread did nothing, or in no time.
  void learn();

 private:
  std::vector<double> shares_;
  std::vector<Done> done_;
};

// Of the team that parallel_for gives the calling thread.
Balance& team_balance();

}  // namespace outsize
