#include "exec/disk_tiers.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>

#include "core/error.h"
#include "storage/checksum.h"

namespace outsize {
namespace {

// Requests of one task under way at a time; the queues hold more than both directions' share.
constexpr size_t kTickets = 24;

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
  std::array<StoreTicket, kTickets> tickets;
  StoreStatus bad;
  for (size_t begin = 0; begin < task.moves.size() && bad.ok(); begin += kTickets) {
    const size_t count = std::min(kTickets, task.moves.size() - begin);
    for (size_t i = 0; i < count; ++i) {
      const Move& move = task.moves[begin + i];
      if (task.kind == TaskKind::read) {
        const StorePart part = part_at(extent(move.from), move.from_offset, move.bytes);
        tickets[i] = store_->read(part, arena + extent(move.to).offset + move.to_offset);
      } else {
        const StorePart part = part_at(extent(move.to), move.to_offset, move.bytes);
        tickets[i] = store_->write(part, arena + extent(move.from).offset + move.from_offset);
      }
    }
    for (size_t i = 0; i < count; ++i) {
      const StoreStatus status = store_->wait(tickets[i]);
      if (bad.ok()) bad = status;
    }
  }
  if (!bad.ok()) throw store_->error(bad);
}

bool DiskTiers::came_back_whole(const Plan& plan, const Move& move, const char* arena) const {
  const auto extent = [&](int id) { return plan.buffers[static_cast<size_t>(id)].extent; };
  const char* memory = arena + extent(move.to).offset + move.to_offset;
  return checksum(reinterpret_cast<const std::byte*>(memory), static_cast<size_t>(move.bytes)) ==
         sums_[static_cast<size_t>(extent(move.from).offset / kMovedAlignment)];
}

IoTicket DiskTiers::start_scratch(const Plan& plan, const Move& move, bool reading, char* arena) {
  const auto extent = [&](int id) { return plan.buffers[static_cast<size_t>(id)].extent; };
  const auto bytes = static_cast<std::uint64_t>(move.bytes);
  if (reading)
    return scratch_->read(static_cast<std::uint64_t>(extent(move.from).offset),
                          arena + extent(move.to).offset + move.to_offset, bytes);
  const char* memory = arena + extent(move.from).offset + move.from_offset;
  const auto at = static_cast<std::uint64_t>(extent(move.to).offset);
  sums_[at / kMovedAlignment] = checksum(reinterpret_cast<const std::byte*>(memory), bytes);
  return scratch_->write(at, memory, bytes);
}

// What has come is verified while the next moves are under way; a failure waits for those.
void DiskTiers::run_scratch(const Plan& plan, const Task& task, char* arena) {
  std::array<IoTicket, kTickets> tickets;
  const bool reading = task.kind == TaskKind::read;
  const size_t count = task.moves.size();
  IoStatus bad;
  const Move* changed = nullptr;
  size_t started = 0;
  for (size_t ended = 0; ended < count; ++ended) {
    for (; bad.ok() && started < std::min(count, ended + kTickets); ++started)
      tickets[started % kTickets] = start_scratch(plan, task.moves[started], reading, arena);
    if (ended == started) break;
    const IoStatus status = scratch_->wait(tickets[ended % kTickets]);
    if (bad.ok()) bad = status;
    const Move& move = task.moves[ended];
    if (reading && bad.ok() && !came_back_whole(plan, move, arena)) changed = &move;
  }
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
