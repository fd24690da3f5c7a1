#include "train/tier_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "train/show_plan.h"

namespace outsize {
namespace {

using Kinds = std::array<std::int64_t, kBufferKindCount>;

// First and last task that moves a buffer of scratch.
struct Life {
  size_t first = std::numeric_limits<size_t>::max(), last = 0;
  bool used() const { return first <= last; }
};

std::vector<Life> scratch_lives(const Plan& plan) {
  std::vector<Life> lives(plan.buffers.size());
  for (size_t t = 0; t < plan.tasks.size(); ++t)
    for (const Move& move : plan.tasks[t].moves)
      for (const int id : {move.from, move.to}) {
        const auto b = static_cast<size_t>(id);
        if (id < 0 || plan.buffers[b].extent.tier != Tier::scratch) continue;
        lives[b].first = plan.buffers[b].persistent ? 0 : std::min(lives[b].first, t);
        lives[b].last = plan.buffers[b].persistent ? plan.tasks.size() - 1 : t;
      }
  return lives;
}

Kinds scratch_peaks(const Plan& plan) {
  std::vector<Kinds> changes(plan.tasks.size() + 1, Kinds{});
  const std::vector<Life> lives = scratch_lives(plan);
  for (size_t b = 0; b < lives.size(); ++b) {
    if (!lives[b].used()) continue;
    const auto kind = static_cast<size_t>(plan.buffers[b].kind);
    changes[lives[b].first][kind] += plan.buffers[b].extent.bytes;
    changes[lives[b].last + 1][kind] -= plan.buffers[b].extent.bytes;
  }
  Kinds now{}, peaks{};
  for (const Kinds& change : changes)
    for (size_t kind = 0; kind < now.size(); ++kind)
      peaks[kind] = std::max(peaks[kind], now[kind] += change[kind]);
  return peaks;
}

constexpr BufferKind kColumns[] = {BufferKind::weights, BufferKind::optimizer,
                                   BufferKind::gradients, BufferKind::activations,
                                   BufferKind::workspace};

std::string cell(std::int64_t bytes) {
  return bytes > 0 ? show_bytes(bytes) : "-";
}

template <class Bytes>
std::string row(const char* tier, const Bytes& kinds, std::int64_t peak) {
  std::string text = fmt::format("{:<6}", tier);
  for (const BufferKind kind : kColumns)
    text += fmt::format("{:>{}}", cell(kinds[static_cast<size_t>(kind)]),
                        kind == BufferKind::activations ? 13 : 12);
  return text + fmt::format("{:>12}", show_bytes(peak));
}

}  // namespace

Kinds disk_bytes_by_kind(const Plan& plan) {
  Kinds bytes = scratch_peaks(plan);
  for (const auto& items : plan.store)
    for (size_t i = 0; i < items.size(); ++i)
      bytes[static_cast<size_t>(i == 0 ? BufferKind::weights : BufferKind::optimizer)] +=
          items[i].bytes;
  for (const StoreItem& item : plan.log)
    bytes[static_cast<size_t>(BufferKind::gradients)] += item.bytes;
  return bytes;
}

std::string tier_table(const Plan& plan, const TierSizes& sizes) {
  std::string text =
      fmt::format("{:<6}{:>12}{:>12}{:>12}{:>13}{:>12}{:>12}{:>12}\n", "tier", "weights",
                  "optimizer", "gradients", "activations", "workspace", "peak", "budget");
  text += row("RAM", plan.peak_bytes_by_kind, sizes.arena_bytes);
  text += fmt::format("{:>12}\n", sizes.budget_bytes > 0 ? show_bytes(sizes.budget_bytes) : "none");
  if (sizes.disk_bytes > 0) text += row("disk", disk_bytes_by_kind(plan), sizes.disk_bytes) + '\n';
  return text;
}

}  // namespace outsize
