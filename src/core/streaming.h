// Where large results go: past the caches where cores have last-level caches of their own. Nobody
// reads them before the caches have moved on, and a line that several such caches hold is slow to
// take back: on two Zen 4 core groups, writing over what both had read ran at 5 GB/s, past the
// caches at 51. Under one last-level cache it is the other way round: there the next op still finds
// them (docs/PERFORMANCE.md, "Results past the caches").
#pragma once

#include <cstdint>

namespace outsize {

// Whether results go past the caches: as the caches of this process's processors are, which are
// looked at once, or as a test has set it. The results are the same.
bool streams_results();
void set_streams_results(bool streams);

// Below this a result is likely read from a core's own cache again.
constexpr std::int64_t kStreamedBytes = std::int64_t{256} << 10;

// A result a vector kernel writes once and does not read.
struct Result {
  void* data;
  bool streams;  // past the caches, where its rows are aligned for it
};

inline Result result(void* data, std::int64_t bytes) {
  return {data, bytes >= kStreamedBytes && streams_results()};
}

}  // namespace outsize
