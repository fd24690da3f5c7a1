// Where large results go. Nobody reads them before the caches have moved on, and a line that caches
// of several core groups share is slow to take back: on two Zen 4 core groups, writing over what
// both had read ran at 5 GB/s, past the caches at 51 (docs/PERFORMANCE.md, "Results past the
// caches").
#pragma once

#include <cstdint>

namespace outsize {

// Below this a result is likely read from a core's own cache again.
constexpr std::int64_t kStreamedBytes = std::int64_t{256} << 10;

// A result a vector kernel writes once and does not read.
struct Result {
  void* data;
  bool streams;  // past the caches, where its rows are aligned for it
};

inline Result result(void* data, std::int64_t bytes) {
  return {data, bytes >= kStreamedBytes};
}

}  // namespace outsize
