#include "storage/async_file.h"

#include "storage/aligned_buffer.h"

namespace outsize {
namespace {

// The ticket of a request that was not taken: wait() finds no such slot and says invalid.
constexpr IoTicket kRefused{~std::uint32_t{0}, 1, false};

bool is_aligned(std::uint64_t offset, const void* memory, std::uint64_t bytes) {
  return (offset | reinterpret_cast<std::uintptr_t>(memory) | bytes) % kPageBytes == 0 &&
         offset + bytes >= offset;
}

const QueueOptions& checked(const QueueOptions& options) {
  ensure(options.depth > 0 && options.requests > 0 && options.block_bytes > 0 &&
             options.block_bytes % kPageBytes == 0,
         "[file] queue options; got depth {}, requests {}, block_bytes {}", options.depth,
         options.requests, options.block_bytes);
  return options;
}

}  // namespace

AsyncFile::AsyncFile(std::unique_ptr<RawFile> file, const QueueOptions& options)
    : file_(std::move(file)),
      reads_(*file_, checked(options), false),
      writes_(*file_, options, true) {}

IoTicket AsyncFile::read(std::uint64_t offset, void* memory, std::uint64_t bytes) {
  if (!is_aligned(offset, memory, bytes)) return kRefused;
  return reads_.submit(offset, static_cast<std::byte*>(memory), bytes);
}

IoTicket AsyncFile::write(std::uint64_t offset, const void* memory, std::uint64_t bytes) {
  if (!is_aligned(offset, memory, bytes)) return kRefused;
  // One kind of piece for both directions; a piece that writes is only read from.
  return writes_.submit(offset, static_cast<std::byte*>(const_cast<void*>(memory)), bytes);
}

IoStatus AsyncFile::wait(IoTicket ticket) {
  return ticket.write ? writes_.wait(ticket) : reads_.wait(ticket);
}

IoStatus AsyncFile::wait_all() {
  const IoStatus reads = reads_.wait_all(), writes = writes_.wait_all();
  return reads.ok() ? writes : reads;
}

IoStatus AsyncFile::sync() {
  const int error = file_->sync();
  return error == 0 ? IoStatus{} : IoStatus{code_of_errno(error), error};
}

IoStatus AsyncFile::drop_cache() {
  const std::uint64_t bytes = file_->size();
  const int lost = file_->forget(0, bytes, true);
  return lost == 0 ? IoStatus{} : IoStatus{IoCode::failed, lost, 0, bytes};
}

IoStatus AsyncFile::allocate(std::uint64_t bytes) {
  const int error = file_->allocate(bytes);
  return error == 0 ? IoStatus{} : IoStatus{code_of_errno(error), error, 0, bytes};
}

bool AsyncFile::register_memory(std::span<std::byte> memory) {
  const bool reads = reads_.register_memory(memory);
  return writes_.register_memory(memory) && reads;
}

IoStatus AsyncFile::read_now(std::uint64_t offset, void* memory, std::uint64_t bytes) {
  return wait(read(offset, memory, bytes));
}

IoStatus AsyncFile::write_now(std::uint64_t offset, const void* memory, std::uint64_t bytes) {
  return wait(write(offset, memory, bytes));
}

}  // namespace outsize
