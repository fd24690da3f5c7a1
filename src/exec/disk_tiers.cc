#include "exec/disk_tiers.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>

#include "core/error.h"
#include "plan/planner.h"
#include "storage/checksum.h"

namespace outsize {
namespace {

// Requests of one task under way at a time; the queues hold more than both directions' share.
constexpr size_t kTickets = 24;
// And their bytes, twice what a queue has in flight. What is written is summed before it is asked
// for, and meanwhile nobody drives the queue: a disk that is through with its pieces would wait.
constexpr std::int64_t kUnderWayBytes = 8 << 20;

std::vector<int> dense_groups(const Plan& plan) {
  std::map<int, int> dense;
  for (const auto& items : plan.store)
    for (const StoreItem& item : items) dense[item.group] = 0;
  int next = 0;
  for (auto& [call, group] : dense) group = next++;
  std::vector<int> groups(dense.empty() ? 0 : static_cast<size_t>(dense.rbegin()->first) + 1, -1);
  for (const auto& [call, group] : dense) groups[static_cast<size_t>(call)] = group;
  return groups;
}

// Moves are asked for in parts: what one takes to verify is little beside what the disk does
// meanwhile, and the last one's is all that nothing covers. A multiple of every store block.
constexpr std::int64_t kPartBytes = 2 << 20;
static_assert(kPartBytes % kStoreBlock == 0 && kPartBytes % kMovedAlignment == 0);

// Requests `start(part)`, which gives a ticket, and then `end(part, ticket)`, which says whether
// all is well, for every part of the task's moves, some of them under way at a time. Where
// something is wrong no more are started, and those under way end.
template <class Ticket, class Start, class End>
void run_parts(const Task& task, Start start, End end) {
  std::array<std::pair<MovePart, Ticket>, kTickets> under_way;
  size_t started = 0, ended = 0, move = 0;
  std::int64_t first = 0, bytes = 0;  // of the next part; under way
  for (bool well = true;;) {
    const auto room = [&] { return started < ended + kTickets && bytes < kUnderWayBytes; };
    for (; well && move < task.moves.size() && room(); ++started) {
      const Move& whole = task.moves[move];
      const MovePart part{&whole, first, std::min(kPartBytes, whole.bytes - first)};
      under_way[started % kTickets] = {part, start(part)};
      bytes += part.bytes;
      first += part.bytes;
      if (first < whole.bytes) continue;
      ++move;
      first = 0;
    }
    if (ended == started) return;
    const auto& [part, ticket] = under_way[ended++ % kTickets];
    bytes -= part.bytes;
    if (!end(part, ticket)) well = false;
  }
}

bool in_scratch(const Plan& plan, const Move& move) {
  const auto tier = [&](int id) { return plan.buffers[static_cast<size_t>(id)].extent.tier; };
  return tier(move.from) == Tier::scratch || tier(move.to) == Tier::scratch;
}

}  // namespace

StoreLayout store_layout(const Plan& plan, std::uint64_t identity, std::uint64_t block_bytes) {
  StoreLayout layout;
  layout.identity = identity;
  layout.block_bytes = block_bytes;
  layout.scheme = plan.log_bytes > 0 ? StoreScheme::ring : StoreScheme::two_slots;
  const std::vector<int> groups = dense_groups(plan);
  layout.groups.resize(static_cast<size_t>(
      groups.empty() ? 0 : *std::max_element(groups.begin(), groups.end()) + 1));
  for (const auto& items : plan.store)
    for (const StoreItem& item : items) {
      GroupSpec& group =
          layout.groups[static_cast<size_t>(groups[static_cast<size_t>(item.group)])];
      group.name = fmt::format("call {}", item.group);
      group.extents.push_back({item.name, static_cast<std::uint64_t>(item.bytes)});
    }
  for (const StoreItem& item : plan.log)
    layout.groups[static_cast<size_t>(groups[static_cast<size_t>(item.group)])].log_bytes.push_back(
        static_cast<std::uint64_t>(item.bytes));
  return layout;
}

int call_of_group(const Plan& plan, int group) {
  const std::vector<int> groups = dense_groups(plan);
  return static_cast<int>(std::find(groups.begin(), groups.end(), group) - groups.begin());
}

std::vector<std::vector<StorePart>> store_parts(const Plan& plan) {
  const std::vector<int> groups = dense_groups(plan);
  std::vector<int> next(groups.size(), 0);
  std::vector<std::vector<StorePart>> parts;
  for (const auto& items : plan.store) {
    parts.emplace_back();
    for (const StoreItem& item : items)
      parts.back().push_back({groups[static_cast<size_t>(item.group)],
                              next[static_cast<size_t>(item.group)]++, 0,
                              static_cast<std::uint64_t>(item.bytes)});
  }
  return parts;
}

DiskTiers::DiskTiers(Disk& disk, const std::string& folder, std::int64_t scratch_bytes,
                     StateStore* store)
    : scratch_path_(fmt::format("{}/scratch-{}", folder, ::getpid())), store_(store) {
  if (scratch_bytes == 0) return;
  const std::uint64_t free = disk.free_bytes(folder);
  if (free < static_cast<std::uint64_t>(scratch_bytes))
    fail(ErrorKind::OutOfMemory,
         "[executor] {}: no room for what leaves memory; got {} bytes free; expected {}; try a "
         "larger memory budget, or a folder on another disk",
         folder, free, scratch_bytes);
  scratch_ = std::make_unique<AsyncFile>(disk.create(scratch_path_), QueueOptions{});
  disk.remove(scratch_path_);
  const IoStatus status = scratch_->allocate(static_cast<std::uint64_t>(scratch_bytes));
  if (!status.ok()) throw io_error(status, scratch_path_, "allocate");
}

void DiskTiers::prepare(const Plan& plan) {
  sums_.resize(std::max(sums_.size(), static_cast<size_t>(plan.scratch_bytes / kMovedAlignment)));
  if (!places_.empty()) return;
  group_of_call_ = dense_groups(plan);
  const auto parts = store_parts(plan);
  for (size_t p = 0; p < plan.store.size(); ++p)
    for (size_t i = 0; i < plan.store[p].size(); ++i)
      places_.push_back({plan.store[p][i].offset, parts[p][i]});
  std::vector<int> next(group_of_call_.size(), 0);
  for (const StoreItem& item : plan.log) {  // their offsets rise
    const auto call = static_cast<size_t>(item.group);
    log_.push_back({item.offset, {group_of_call_[call], log_extent(next[call]++)}});
  }
  std::sort(places_.begin(), places_.end(),
            [](const Place& a, const Place& b) { return a.offset < b.offset; });
}

StorePart DiskTiers::part_at(const Extent& extent, std::int64_t offset, std::int64_t bytes) const {
  const auto& places = extent.tier == Tier::log ? log_ : places_;
  offset += extent.offset;
  auto at = std::upper_bound(places.begin(), places.end(), offset,
                             [](std::int64_t value, const Place& p) { return value < p.offset; });
  ensure(at != places.begin(), "[executor] the store has nothing at {}", offset);
  --at;
  StorePart part = at->part;
  part.offset = static_cast<std::uint64_t>(offset - at->offset);
  part.bytes = static_cast<std::uint64_t>(bytes);
  return part;
}

void DiskTiers::run(const Plan& plan, const Task& task, char* arena) {
  if (task.kind == TaskKind::publish) {
    const StoreStatus status =
        store_->finish_group(group_of_call_[static_cast<size_t>(task.group)]);
    if (!status.ok()) throw store_->error(status);
  } else if (in_scratch(plan, task.moves.front())) {
    run_scratch(plan, task, arena);
  } else {
    run_store(plan, task, arena);
  }
}

void DiskTiers::run_store(const Plan& plan, const Task& task, char* arena) {
  const auto extent = [&](int id) { return plan.buffers[static_cast<size_t>(id)].extent; };
  StoreStatus bad;
  const auto start = [&](const MovePart& part) {
    const Move& move = *part.move;
    const std::int64_t from = move.from_offset + part.first, to = move.to_offset + part.first;
    return task.kind == TaskKind::read ? store_->read(part_at(extent(move.from), from, part.bytes),
                                                      arena + extent(move.to).offset + to)
                                       : store_->write(part_at(extent(move.to), to, part.bytes),
                                                       arena + extent(move.from).offset + from);
  };
  run_parts<StoreTicket>(task, start, [&](const MovePart&, StoreTicket ticket) {
    const StoreStatus status = store_->wait(ticket);
    if (bad.ok()) bad = status;
    return bad.ok();
  });
  if (!bad.ok()) throw store_->error(bad);
}

std::uint64_t& DiskTiers::sum_at(const Extent& extent, std::int64_t first) {
  return sums_[static_cast<size_t>((extent.offset + first) / kMovedAlignment)];
}

bool DiskTiers::came_back_whole(const Plan& plan, const MovePart& part, const char* arena) {
  const auto extent = [&](int id) { return plan.buffers[static_cast<size_t>(id)].extent; };
  const Move& move = *part.move;
  const char* memory = arena + extent(move.to).offset + move.to_offset + part.first;
  return checksum(memory, static_cast<size_t>(part.bytes)) == sum_at(extent(move.from), part.first);
}

IoTicket DiskTiers::start_scratch(const Plan& plan, const MovePart& part, bool reading,
                                  char* arena) {
  const auto extent = [&](int id) { return plan.buffers[static_cast<size_t>(id)].extent; };
  const Move& move = *part.move;
  const auto bytes = static_cast<std::uint64_t>(part.bytes);
  if (reading)
    return scratch_->read(static_cast<std::uint64_t>(extent(move.from).offset + part.first),
                          arena + extent(move.to).offset + move.to_offset + part.first, bytes);
  const char* memory = arena + extent(move.from).offset + move.from_offset + part.first;
  sum_at(extent(move.to), part.first) = checksum(memory, bytes);
  return scratch_->write(static_cast<std::uint64_t>(extent(move.to).offset + part.first), memory,
                         bytes);
}

void DiskTiers::run_scratch(const Plan& plan, const Task& task, char* arena) {
  const bool reading = task.kind == TaskKind::read;
  IoStatus bad;
  const Move* changed = nullptr;
  const auto start = [&](const MovePart& part) {
    return start_scratch(plan, part, reading, arena);
  };
  run_parts<IoTicket>(task, start, [&](const MovePart& part, IoTicket ticket) {
    const IoStatus status = scratch_->wait(ticket);
    if (bad.ok()) bad = status;
    if (reading && bad.ok() && !came_back_whole(plan, part, arena)) changed = part.move;
    return bad.ok() && changed == nullptr;
  });
  if (!bad.ok()) throw io_error(bad, scratch_path_, reading ? "read" : "write");
  if (changed == nullptr) return;
  const Buffer& source = plan.buffers[static_cast<size_t>(changed->from)];
  fail(
      ErrorKind::Corruption,
      "[executor] {}: '{}' came back changed; got other bytes at {}+{}; expected what was written; "
      "the disk or memory is faulty; the last finished step is whole",
      scratch_path_, source.name, source.extent.offset, changed->bytes);
}

}  // namespace outsize
