// Reads how processors share caches from Linux's /sys.
#include "core/streaming.h"

#include <fmt/format.h>
#include <sched.h>

#include <fstream>
#include <string>

namespace outsize {
namespace {

// The processors that share the last-level cache of this one, as Linux lists them; empty when it
// does not say.
std::string last_level_sharers(int processor) {
  std::string sharers;
  int last_level = 0;
  for (int index = 0;; ++index) {
    const auto folder =
        fmt::format("/sys/devices/system/cpu/cpu{}/cache/index{}/", processor, index);
    int level = 0;
    if (!(std::ifstream(folder + "level") >> level)) return sharers;
    if (level <= last_level) continue;
    last_level = level;
    std::ifstream(folder + "shared_cpu_list") >> sharers;
  }
}

bool shares_last_level() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return false;
  std::string first;
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (!CPU_ISSET(processor, &allowed)) continue;
    const std::string sharers = last_level_sharers(processor);
    if (first.empty()) first = sharers;
    if (sharers.empty() || sharers != first) return false;
  }
  return true;
}

bool& streams() {
  static bool streams = !shares_last_level();
  return streams;
}

}  // namespace

bool streams_results() {
  return streams();
}

void set_streams_results(bool on) {
  streams() = on;
}

}  // namespace outsize
