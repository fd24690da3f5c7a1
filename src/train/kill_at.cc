#include "train/kill_at.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdlib>

#include "core/error.h"
#include "storage/kill_point.h"

namespace outsize {
namespace {

bool is_point(std::string_view name) {
  for (int point = 0; point < kKillPointCount; ++point)
    if (name == name_of(static_cast<KillPoint>(point))) return true;
  return std::any_of(std::begin(kRunKillPoints), std::end(kRunKillPoints),
                     [&](const char* point) { return name == point; });
}

}  // namespace

KillAt::KillAt() {
  const char* text = std::getenv("OUTSIZE_KILL_AT");
  if (text == nullptr) return;
  const std::string_view all(text);
  const auto colon = all.find(':');
  point_ = all.substr(0, colon);
  int times = 1;
  if (colon != std::string_view::npos) {
    const std::string_view number = all.substr(colon + 1);
    const auto parsed = std::from_chars(number.data(), number.data() + number.size(), times);
    if (parsed.ec != std::errc() || parsed.ptr != number.data() + number.size()) times = 0;
  }
  if (times < 1 || !is_point(point_))
    fail(ErrorKind::InvalidArgument,
         "[OUTSIZE_KILL_AT] no kill point; got '{}'; expected POINT or POINT:TIMES, a point of "
         "docs/DURABILITY.md",
         all);
  left_ = times;
}

void KillAt::reached(std::string_view point) {
  if (point == point_ && --left_ == 0) std::raise(SIGKILL);
}

}  // namespace outsize
