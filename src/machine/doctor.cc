#include "machine/doctor.h"

#include <fmt/format.h>
#include <linux/io_uring.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "config/value.h"
#include "core/error.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "machine/file_system.h"
#include "machine/gemm_rate.h"
#include "machine/host.h"

namespace outsize {
namespace {

constexpr std::int64_t kGiB = std::int64_t{1} << 30;
constexpr std::int64_t kMinMemoryBytes = 2 * kGiB;
constexpr std::int64_t kMinDiskBytes = 10 * kGiB;
constexpr std::int64_t kMinLockedBytes = std::int64_t{64} << 20;

Check make_check(std::string check, bool ok, std::string detail, std::string remedy) {
  return {std::move(check), ok, std::move(detail), ok ? "" : std::move(remedy)};
}

Check check_processor() {
  const Isa best = best_isa();
  return make_check(
      "processor", best != Isa::baseline,
      fmt::format("{}; kernels: {}, in use: {}", cpu_model(), name_of(best), name_of(active_isa())),
      "only baseline kernels run here; a processor with AVX2 is several times, one "
      "with AVX-512 and bf16 many times faster");
}

Check check_threads() {
  const int used = thread_count();
  const int usable = usable_cores();
  return make_check("threads", used == usable,
                    fmt::format("{} in use, {} usable of {} online", used, usable, online_cores()),
                    fmt::format("set threads to {} (or 0), and unset OMP_NUM_THREADS", usable));
}

Check check_onednn() {
  const bool bf16 = measure_gemm(DType::bf16, {64, 64, 64}, 0).has_value();
  return make_check(
      "oneDNN", bf16,
      fmt::format("version {}, bf16 matrix products: {}", onednn_version(), bf16 ? "yes" : "no"),
      "use train.dtype=f32 on this processor");
}

Check check_memory() {
  const std::int64_t total = meminfo_bytes("MemTotal");
  const std::int64_t available = meminfo_bytes("MemAvailable");
  const auto limit = control_group_limit();
  const std::int64_t room = limit ? std::min(*limit, available) : available;
  std::string detail = fmt::format("{} available of {}", show_size(available), show_size(total));
  detail += limit ? fmt::format(", control group limit {}", show_size(*limit))
                  : ", no control group limit";
  return make_check("memory", room >= kMinMemoryBytes, std::move(detail),
                    "end other programs, or raise the container's memory limit");
}

Check check_disk(const std::string& folder) {
  try {
    const FileSystem system = file_system_of(folder);
    std::string detail = fmt::format("{} free at {} ({}, {})", show_size(system.free_bytes), folder,
                                     system.name, system.kind);
    if (system.kind != "local")
      return make_check("disk", false, std::move(detail),
                        "choose a folder on a local SSD for runs and budget.disk");
    return make_check("disk", system.free_bytes >= kMinDiskBytes, std::move(detail),
                      "free some space: checkpoints take about 12 bytes per parameter");
  } catch (const Error& error) {
    return make_check("disk", false, error.what(), "choose a folder that exists");
  }
}

Check check_direct_io(const std::string& folder) {
  try {
    bool direct = true;
    ::close(open_unnamed_file(folder, direct));
    return make_check("direct I/O", direct, direct ? "available" : "the file system has none",
                      "transfers go through the page cache; an ext4 or xfs folder avoids that");
  } catch (const Error& error) {
    return make_check("direct I/O", false, error.what(), "choose a folder you can write to");
  }
}

// The kernel marks the choice in effect: "always [madvise] never".
Check check_transparent_huge_pages() {
  const std::string text = read_pseudo_file("/sys/kernel/mm/transparent_hugepage/enabled");
  const std::size_t begin = text.find('[');
  const std::size_t end = text.find(']');
  const bool found = begin != text.npos && end != text.npos && begin < end;
  const std::string mode = found ? text.substr(begin + 1, end - begin - 1) : "not offered";
  return make_check("transparent huge pages", mode == "always" || mode == "madvise", mode,
                    "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
}

Check check_huge_pages() {
  const std::string text = read_pseudo_file("/proc/sys/vm/nr_hugepages");
  const auto pages = parse_integer(text.substr(0, text.find('\n')));
  return make_check("reserved huge pages", true,
                    fmt::format("{} (none are needed)", pages.value_or(0)), "");
}

Check check_locked_memory() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
    return make_check("locked memory", false, std::strerror(errno), "see ulimit -l");
  const bool unlimited = limit.rlim_cur == RLIM_INFINITY;
  const bool ok = unlimited || limit.rlim_cur >= static_cast<rlim_t>(kMinLockedBytes);
  return make_check("locked memory", ok,
                    unlimited ? "unlimited" : show_size(static_cast<std::int64_t>(limit.rlim_cur)),
                    "ulimit -l unlimited (or memlock in /etc/security/limits.conf): pinned I/O "
                    "buffers need it");
}

Check check_io_uring() {
  io_uring_params parameters{};
  const long ring = ::syscall(__NR_io_uring_setup, 1, &parameters);
  if (ring >= 0) {
    ::close(static_cast<int>(ring));
    return make_check("io_uring", true, "available", "");
  }
  return make_check("io_uring", false, std::strerror(errno),
                    "reads and writes fall back to threads; allow it by "
                    "kernel.io_uring_disabled=0 and the container's seccomp profile");
}

}  // namespace

std::vector<Check> run_doctor(const std::string& folder) {
  return {check_processor(),
          check_threads(),
          check_onednn(),
          check_memory(),
          check_disk(folder),
          check_direct_io(folder),
          check_transparent_huge_pages(),
          check_huge_pages(),
          check_locked_memory(),
          check_io_uring()};
}

std::string describe(const std::vector<Check>& checks) {
  std::string text;
  for (const Check& check : checks) {
    text += fmt::format("{:<4} {:<24} {}\n", check.ok ? "ok" : "!!", check.check, check.detail);
    if (!check.ok) text += fmt::format("     {:<24} try: {}\n", "", check.remedy);
  }
  return text;
}

}  // namespace outsize
