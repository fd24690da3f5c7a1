#include "report/process_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <string_view>

namespace outsize {
namespace {

// One "Name:   1234 kB" line of /proc/self/status, in bytes. On the stack: a meter must not move
// the needle.
std::int64_t status_bytes(std::string_view name) {
  char buffer[8192];
  const int descriptor = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return 0;
  const ssize_t got = ::read(descriptor, buffer, sizeof(buffer));
  ::close(descriptor);
  if (got <= 0) return 0;
  const std::string_view text(buffer, static_cast<std::size_t>(got));
  std::size_t at = text.find(name);
  if (at == text.npos) return 0;
  at = text.find_first_of("0123456789", at);
  if (at == text.npos) return 0;
  std::int64_t kilobytes = 0;
  std::from_chars(text.data() + at, text.data() + text.size(), kilobytes);
  return kilobytes * 1024;
}

}  // namespace

std::int64_t rss_bytes() {
  return status_bytes("\nVmRSS:");
}

std::int64_t peak_rss_bytes() {
  return status_bytes("\nVmHWM:");
}

bool reset_peak_rss() {
  const int descriptor = ::open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool done = ::write(descriptor, "5", 1) == 1;  // 5: reset the peak, touch nothing else
  ::close(descriptor);
  return done;
}

}  // namespace outsize
