// Memory that direct I/O accepts: begins at a page, zeroed, owned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>

namespace outsize {

// Offsets, sizes and memory of all requests are multiples of this: what direct I/O asks for on
// every disk in use.
constexpr std::uint64_t kPageBytes = 4096;

constexpr std::uint64_t pages_up(std::uint64_t bytes) {
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

class AlignedBuffer {
 public:
  // Throws std::bad_alloc.
  explicit AlignedBuffer(std::uint64_t bytes)
      : data_(static_cast<std::byte*>(::operator new[](bytes, std::align_val_t{kPageBytes}))),
        bytes_(bytes) {
    std::memset(data_.get(), 0, bytes);
  }
  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  std::uint64_t size() const { return bytes_; }
  std::span<std::byte> span() { return {data_.get(), bytes_}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const {
      ::operator delete[](memory, std::align_val_t{kPageBytes});
    }
  };
  std::unique_ptr<std::byte[], Free> data_;
  std::uint64_t bytes_;
};

}  // namespace outsize
