// How a run's steps and memory compare with what was foretold: what stands at its end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace outsize {

class RunSummary {
 public:
  // Seconds of a step of this process, and what was foretold for it. The first is left out of the
  // medians: it touches fresh pages.
  void add(double seconds, std::optional<double> foretold);
  // Steps added, the first included.
  std::int64_t steps() const { return steps_; }

  // "12 steps of 1.46 s (median), foretold 1.52 s (+4.1 %); peak memory 512 MiB, planned …". Errors
  // are of what was foretold, relative to what was measured. Bytes; 0: not known.
  std::string text(std::int64_t peak_bytes, std::int64_t planned_bytes) const;

 private:
  std::int64_t steps_ = 0;
  std::vector<float> seconds_, foretold_;  // of the last steps, in a ring
};

}  // namespace outsize
