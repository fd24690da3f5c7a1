// The one piece of host memory a plan lives in, mapped once. Pages become resident when first
// touched.
#pragma once

#include <cstdint>

namespace outsize {

class HostArena {
 public:
  // Throws OutOfMemory(host) when the memory cannot be mapped. Address space is taken in whole huge
  // pages; what lies behind `bytes` is never touched.
  explicit HostArena(std::int64_t bytes);
  ~HostArena();
  HostArena(const HostArena&) = delete;
  HostArena& operator=(const HostArena&) = delete;

  char* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }  // as asked for

 private:
  char* data_ = nullptr;
  std::int64_t bytes_ = 0, mapped_bytes_ = 0;
};

}  // namespace outsize
