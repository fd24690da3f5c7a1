// Reads and writes of the state store: which copy, where it lies, and its checksums.
#include <algorithm>

#include "storage/checksum.h"
#include "storage/placement.h"
#include "storage/store.h"

namespace outsize {

const Geometry::Extent& StateStore::extent_of(const StorePart& part) const {
  const Geometry::Group& group = geometry_.groups[static_cast<std::size_t>(part.group)];
  return is_log(part.extent) ? group.logs[log_index(part.extent)]
                             : group.extents[static_cast<std::size_t>(part.extent)];
}

// Whole blocks of an extent that exists.
IoCode StateStore::locate(const StorePart& part, BlockRange& blocks) const {
  if (part.group < 0 || static_cast<std::size_t>(part.group) >= geometry_.groups.size())
    return IoCode::invalid;
  const Geometry::Group& group = geometry_.groups[static_cast<std::size_t>(part.group)];
  const bool exists = is_log(part.extent)
                          ? log_index(part.extent) < group.logs.size()
                          : static_cast<std::size_t>(part.extent) < group.extents.size();
  if (!exists) return IoCode::invalid;
  const Geometry::Extent& extent = extent_of(part);
  const std::uint64_t block = geometry_.block_bytes, end = part.offset + part.bytes;
  if (part.bytes == 0 || end < part.offset || end > extent.bytes || part.offset % block != 0 ||
      (end % block != 0 && end != extent.bytes))
    return IoCode::invalid;
  blocks = {extent.blocks.first + part.offset / block, (part.bytes + block - 1) / block};
  return IoCode::ok;
}

// One range of the file, or two where a copy goes over the end of the ring.
int StateStore::ranges_of(const StorePart& part, std::uint64_t place,
                          FileRange (&ranges)[2]) const {
  const std::uint64_t within = extent_of(part).offset + part.offset;
  if (is_log(part.extent)) {
    ranges[0] = {geometry_.log_at + within, part.bytes};
    return 1;
  }
  const std::uint64_t first = (place + within) % geometry_.data_bytes;
  const std::uint64_t until_end = std::min(part.bytes, geometry_.data_bytes - first);
  ranges[0] = {geometry_.data_at + first, until_end};
  if (until_end == part.bytes) return 1;
  ranges[1] = {geometry_.data_at, part.bytes - until_end};
  return 2;
}

IoCode StateStore::begin_read(const StorePart& part, std::uint64_t& place) const {
  if (is_log(part.extent)) return sealed_ ? IoCode::ok : IoCode::invalid;
  const auto g = static_cast<std::size_t>(part.group);
  const bool finished = phases_[g] == Phase::finished;
  if (!finished && sequence_ == 0) return IoCode::invalid;  // never written
  place = finished ? next_places_[g] : places_[g];
  return IoCode::ok;
}

IoCode StateStore::begin_write(const StorePart& part, const BlockRange& blocks,
                               std::uint64_t& place) {
  const auto g = static_cast<std::size_t>(part.group);
  const bool ring_step = geometry_.scheme == StoreScheme::ring && sequence_ > 0;
  if (failed_) return IoCode::failed;
  if (committing_) return IoCode::invalid;
  if (is_log(part.extent)) {
    if (!ring_step || sealed_) return IoCode::invalid;
  } else {
    if (phases_[g] == Phase::finished) return IoCode::invalid;
    if (ring_step && (!sealed_ || part.group != cursor_)) return IoCode::invalid;
    if (phases_[g] == Phase::idle)
      next_places_[g] = sequence_ == 0 ? first_place(geometry_, part.group)
                                       : next_place(geometry_, part.group, places_[g]);
    phases_[g] = Phase::writing;
    place = next_places_[g];
  }
  ++writes_in_flight_[g];
  std::fill_n(written_.begin() + static_cast<std::ptrdiff_t>(blocks.first), blocks.count, 0);
  return IoCode::ok;
}

// The part of the request that one checksum covers.
StorePart StateStore::part_of_block(const Request& request, std::uint64_t block) const {
  const std::uint64_t within = (block - request.blocks.first) * geometry_.block_bytes;
  return {request.part.group, request.part.extent, request.part.offset + within,
          std::min(geometry_.block_bytes, request.part.bytes - within)};
}

// In the caller's thread and before the write: what the caller had is what must come back.
void StateStore::put_sums(const Request& request) {
  for (std::uint64_t b = 0; b < request.blocks.count; ++b) {
    const StorePart part = part_of_block(request, request.blocks.first + b);
    const std::uint64_t sum =
        checksum(request.memory + (part.offset - request.part.offset), part.bytes);
    const std::lock_guard lock(mutex_);
    next_sums_[request.blocks.first + b] = sum;
  }
}

void StateStore::submit(Request& request) {
  FileRange ranges[2];
  request.ticket_count = ranges_of(request.part, request.place, ranges);
  std::byte* memory = request.memory;
  for (int i = 0; i < request.ticket_count; ++i) {
    const FileRange& range = ranges[i];
    request.tickets[i] = request.write ? file_->write(range.offset, memory, range.bytes)
                                       : file_->read(range.offset, memory, range.bytes);
    memory += range.bytes;
  }
}

StoreTicket StateStore::start(const StorePart& part, std::byte* memory, bool write) {
  std::unique_lock lock(mutex_);
  if (free_requests_.empty()) return {};  // wait() says busy
  const std::uint32_t slot = free_requests_.back();
  free_requests_.pop_back();
  Request& request = requests_[slot];
  request = {.part = part,
             .memory = memory,
             .write = write,
             .used = true,
             .generation = request.generation};
  request.refused = locate(part, request.blocks);
  if (request.refused == IoCode::ok)
    request.refused =
        write ? begin_write(part, request.blocks, request.place) : begin_read(part, request.place);
  const StoreTicket ticket{slot, request.generation};
  lock.unlock();  // the slot is this thread's until wait()
  if (request.refused != IoCode::ok) return ticket;
  if (write) {
    put_sums(request);
    kill_point(KillPoint::before_write);
  }
  submit(request);
  return ticket;
}

StoreTicket StateStore::read(const StorePart& part, void* memory) {
  return start(part, static_cast<std::byte*>(memory), false);
}

StoreTicket StateStore::write(const StorePart& part, const void* memory) {
  return start(part, static_cast<std::byte*>(const_cast<void*>(memory)), true);
}

// nullptr: this copy is no longer one that may be read.
const std::uint64_t* StateStore::expected_sum(const Request& request, std::uint64_t block) const {
  if (is_log(request.part.extent)) return &next_sums_[block];
  const auto g = static_cast<std::size_t>(request.part.group);
  if (sequence_ > 0 && request.place == places_[g]) return &sums_[block];
  if (phases_[g] == Phase::finished && request.place == next_places_[g]) return &next_sums_[block];
  return nullptr;
}

// What it dropped is not damage: the last commit is whole. One at work may be the one that fails.
bool StateStore::a_sync_failed() const {
  const std::lock_guard sync(sync_mutex_);
  const std::lock_guard lock(mutex_);
  return failed_;
}

StoreStatus StateStore::verify_read(const Request& request) const {
  for (std::uint64_t b = 0; b < request.blocks.count; ++b) {
    const std::uint64_t block = request.blocks.first + b;
    const StorePart part = part_of_block(request, block);
    const std::uint64_t sum =
        checksum(request.memory + (part.offset - request.part.offset), part.bytes);
    {
      const std::lock_guard lock(mutex_);  // commit moves sums from table to table
      const std::uint64_t* expected = expected_sum(request, block);
      if (expected == nullptr) return {{IoCode::invalid}, part};
      if (sum == *expected) continue;
    }
    if (a_sync_failed()) return {{IoCode::failed}, part};
    FileRange ranges[2];
    (void)ranges_of(part, request.place, ranges);
    return {{IoCode::corrupt, 0, ranges[0].offset, part.bytes}, part};
  }
  return {};
}

StoreStatus StateStore::end_write(const Request& request, const IoStatus& io) {
  {
    const std::lock_guard lock(mutex_);
    --writes_in_flight_[static_cast<std::size_t>(request.part.group)];
    failed_ |= io.code == IoCode::failed;
    if (io.ok())
      std::fill_n(written_.begin() + static_cast<std::ptrdiff_t>(request.blocks.first),
                  request.blocks.count, 1);
  }
  if (io.ok()) kill_point(KillPoint::after_write);
  return {io, request.part};
}

StoreStatus StateStore::wait(StoreTicket ticket) {
  if (ticket.generation == 0) return {{IoCode::busy}, {}};
  Request request;
  {
    const std::lock_guard lock(mutex_);
    if (ticket.slot >= requests_.size() || !requests_[ticket.slot].used ||
        requests_[ticket.slot].generation != ticket.generation)
      return {{IoCode::invalid}, {}};
    request = requests_[ticket.slot];
    requests_[ticket.slot].used = false;
    if (++requests_[ticket.slot].generation == 0) requests_[ticket.slot].generation = 1;
  }
  StoreStatus status{{request.refused}, request.part};
  if (request.refused == IoCode::ok) {
    IoStatus io;
    for (int i = 0; i < request.ticket_count; ++i) {
      const IoStatus part = file_->wait(request.tickets[i]);
      if (io.ok()) io = part;
    }
    status = request.write ? end_write(request, io)
             : io.ok()     ? verify_read(request)
                           : StoreStatus{io, request.part};
  }
  const std::lock_guard lock(mutex_);
  free_requests_.push_back(ticket.slot);
  return status;
}

}  // namespace outsize
