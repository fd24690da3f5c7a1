#include "train/allocations.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace outsize::train_test {
namespace {

constexpr int kShown = 8, kDepth = 24;

struct Seen {
  std::size_t bytes;
  int depth;
  void* frames[kDepth];
};

std::atomic<bool> counting{false};
std::atomic<int> count{0};
Seen seen[kShown];
thread_local bool inside = false;  // backtrace() may allocate
const char *begin_text = nullptr, *end_text = nullptr;

[[maybe_unused]] bool contains(const void* data, std::size_t bytes, const char* text) {
  return text && memmem(data, bytes, text, std::strlen(text)) != nullptr;
}

[[maybe_unused]] void note(std::size_t bytes) {
  if (bytes < kLargeBytes || inside || !counting.load(std::memory_order_relaxed)) return;
  inside = true;
  const int number = count.fetch_add(1);
  if (number < kShown) {
    seen[number].bytes = bytes;
    seen[number].depth = backtrace(seen[number].frames, kDepth);
  }
  inside = false;
}

std::string name_of(void* address) {
  Dl_info info;
  if (dladdr(address, &info) == 0) return fmt::format("{}", address);
  const auto offset = static_cast<char*>(address) - static_cast<char*>(info.dli_fbase);
  if (!info.dli_sname) return fmt::format("{}+{:#x}", info.dli_fname, offset);
  int status = 0;
  char* plain = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
  std::string name = status == 0 ? plain : info.dli_sname;
  std::free(plain);
  return name;
}

}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
bool can_count_allocations() {
  return false;
}
#else
bool can_count_allocations() {
  return true;
}

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

// tidy: allow banned: this is what counts it
__attribute__((visibility("default"))) void* malloc(std::size_t bytes) {
  note(bytes);
  return __libc_malloc(bytes);
}
// tidy: allow banned: this is what counts it
__attribute__((visibility("default"))) void* calloc(std::size_t items, std::size_t bytes) {
  note(items * bytes);
  return __libc_calloc(items, bytes);
}
// tidy: allow banned: this is what counts it
__attribute__((visibility("default"))) void* realloc(void* old, std::size_t bytes) {
  note(bytes);
  return __libc_realloc(old, bytes);
}
__attribute__((visibility("default"))) void* memalign(std::size_t alignment, std::size_t bytes) {
  note(bytes);
  return __libc_memalign(alignment, bytes);
}
__attribute__((visibility("default"))) void* aligned_alloc(std::size_t alignment,
                                                           std::size_t bytes) {
  note(bytes);
  return __libc_memalign(alignment, bytes);
}
__attribute__((visibility("default"))) int posix_memalign(void** out, std::size_t alignment,
                                                          std::size_t bytes) {
  note(bytes);
  *out = __libc_memalign(alignment, bytes);
  return *out ? 0 : ENOMEM;
}
__attribute__((visibility("default"))) ssize_t write(int file, const void* data,
                                                     std::size_t bytes) {
  if (contains(data, bytes, end_text)) counting = false;
  if (contains(data, bytes, begin_text)) counting = true;
  return syscall(SYS_write, file, data, bytes);
}
__attribute__((visibility("default"))) void* mmap(void* address, std::size_t bytes, int protection,
                                                  int flags, int file, off_t offset) {
  note(bytes);
  return reinterpret_cast<void*>(
      syscall(SYS_mmap, address, bytes, protection, flags, file, offset));
}
}
#endif

void start_counting() {
  void* warm[2];
  backtrace(warm, 2);  // loads its library now
  count = 0;
  counting = true;
}

void count_between_writes(const char* begin, const char* end) {
  start_counting();
  counting = false;
  begin_text = begin;
  end_text = end;
}

Allocations stop_counting() {
  counting = false;
  begin_text = end_text = nullptr;
  Allocations result{count.load(), ""};
  for (int i = 0; i < result.count && i < kShown; ++i) {
    result.report += fmt::format("{} bytes from\n", seen[i].bytes);
    for (int frame = 0; frame < seen[i].depth; ++frame)
      result.report += "    " + name_of(seen[i].frames[frame]) + "\n";
  }
  return result;
}

}  // namespace outsize::train_test
