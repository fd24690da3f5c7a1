// The clock that durations are measured by.
#pragma once

#include <chrono>

namespace outsize {

// Seconds since some instant; never goes back.
inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace outsize
