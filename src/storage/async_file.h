// Reads and writes of one file that go on while the caller computes. A request of any length is one
// ticket. Statuses instead of exceptions; no allocation after construction; thread-safe, with
// reads and writes in queues of their own so that neither waits behind the other.
#pragma once

#include <memory>

#include "storage/disk.h"
#include "storage/request_queue.h"

namespace outsize {

class AsyncFile {
 public:
  // Throws Io when the system refuses what moving needs.
  AsyncFile(std::unique_ptr<RawFile> file, const QueueOptions& options);

  const std::string& path() const { return file_->path(); }
  // Offset, memory and bytes are multiples of kPageBytes; otherwise wait() says invalid. Memory
  // stays untouched until the ticket has been waited for. A request longer than depth × block goes
  // on only while some thread waits.
  IoTicket read(std::uint64_t offset, void* memory, std::uint64_t bytes);
  IoTicket write(std::uint64_t offset, const void* memory, std::uint64_t bytes);
  // Once per ticket.
  IoStatus wait(IoTicket ticket);
  // Uses up all tickets; the first status that is not ok.
  IoStatus wait_all();
  // Makes durable every write that has been waited for; none of them said failed.
  IoStatus sync();
  // Gives the file this size and the space for it (fallocate).
  IoStatus allocate(std::uint64_t bytes);
  // Later reads come from the disk, not from memory.
  IoStatus drop_cache();
  // Bytes. Throws Io.
  std::uint64_t size() const { return file_->size(); }
  // Pins memory that requests will lie in, where the system can: saves a walk over its pages per
  // piece. At most once. True when done.
  bool register_memory(std::span<std::byte> memory);

  // read or write, then wait.
  IoStatus read_now(std::uint64_t offset, void* memory, std::uint64_t bytes);
  IoStatus write_now(std::uint64_t offset, const void* memory, std::uint64_t bytes);

 private:
  std::unique_ptr<RawFile> file_;  // first: the queues' movers use it to their end
  RequestQueue reads_;
  RequestQueue writes_;
};

}  // namespace outsize
