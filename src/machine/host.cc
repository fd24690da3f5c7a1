#include "machine/host.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "config/value.h"

namespace outsize {
namespace {

// Some systems write "no limit" as a number near 2^63.
constexpr std::int64_t kNoLimit = std::int64_t{1} << 60;

std::string_view first_line(std::string_view text) {
  return text.substr(0, text.find('\n'));
}

// What follows "name <blanks> :" on its line.
std::string_view field_of(std::string_view text, std::string_view name) {
  for (std::size_t at = text.find(name); at != text.npos; at = text.find(name, at + 1)) {
    if (at != 0 && text[at - 1] != '\n') continue;
    std::string_view rest = first_line(text.substr(at + name.size()));
    const std::size_t colon = rest.find_first_not_of(" \t");
    if (colon == rest.npos || rest[colon] != ':') continue;
    rest.remove_prefix(colon + 1);
    const std::size_t begin = rest.find_first_not_of(" \t");
    return begin == rest.npos ? "" : rest.substr(begin);
  }
  return "";
}

void lower_to(std::optional<std::int64_t>& limit, const std::string& file) {
  const std::string text = read_pseudo_file(file);
  const auto value = parse_integer(first_line(text));
  if (!value || *value < 0 || *value >= kNoLimit) return;
  limit = limit ? std::min(*limit, *value) : *value;
}

// A group is bound by its own limit and by those of all groups above it. Inside a container the
// path may not exist under the mount; the top, which is then the container's own group, does.
void lower_along(std::optional<std::int64_t>& limit, const std::string& mount,
                 std::string_view path, std::string_view file) {
  while (path.starts_with('/')) {
    lower_to(limit, fmt::format("{}{}/{}", mount, path, file));
    path = path.substr(0, path.rfind('/'));
  }
  lower_to(limit, fmt::format("{}/{}", mount, file));
}

// Is "memory" in this list parted by commas?
bool names_memory(std::string_view controllers) {
  while (!controllers.empty()) {
    const std::string_view name = controllers.substr(0, controllers.find(','));
    if (name == "memory") return true;
    controllers.remove_prefix(std::min(name.size() + 1, controllers.size()));
  }
  return false;
}

}  // namespace

std::string read_pseudo_file(const std::string& path) {
  constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return "";
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; text.size() < kMaxBytes; text.append(buffer, static_cast<std::size_t>(got)))
    if ((got = ::read(descriptor, buffer, sizeof(buffer))) <= 0) break;
  ::close(descriptor);
  return text;
}

std::string cpu_model() {
  const std::string text = read_pseudo_file("/proc/cpuinfo");
  const std::string_view model = field_of(text, "model name");
  return model.empty() ? "unknown" : std::string(model);
}

int online_cores() {
  return static_cast<int>(std::max<long>(::sysconf(_SC_NPROCESSORS_ONLN), 1));
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return online_cores();
  return std::max(CPU_COUNT(&set), 1);
}

std::int64_t meminfo_bytes(std::string_view name) {
  const std::string text = read_pseudo_file("/proc/meminfo");
  const std::string_view field = field_of(text, name);
  std::int64_t kilobytes = 0;
  std::from_chars(field.data(), field.data() + field.size(), kilobytes);
  return kilobytes * 1024;
}

std::optional<std::int64_t> control_group_limit(std::string_view groups, const std::string& mount) {
  std::optional<std::int64_t> limit;
  while (!groups.empty()) {
    const std::string_view line = first_line(groups);
    groups.remove_prefix(std::min(line.size() + 1, groups.size()));
    const std::size_t first = line.find(':');
    const std::size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    std::string_view path = line.substr(second + 1);
    if (path == "/") path = "";
    if (controllers.empty())
      lower_along(limit, mount, path, "memory.max");
    else if (names_memory(controllers))
      lower_along(limit, mount + "/memory", path, "memory.limit_in_bytes");
  }
  return limit;
}

std::optional<std::int64_t> control_group_limit() {
  return control_group_limit(read_pseudo_file("/proc/self/cgroup"), "/sys/fs/cgroup");
}

std::string kernel_version() {
  utsname name{};
  if (::uname(&name) != 0) return "unknown";
  return std::string(name.sysname) + " " + name.release;
}

}  // namespace outsize
