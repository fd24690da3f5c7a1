// How a step of the state store becomes durable: the order of syncs and records.
#include <algorithm>
#include <cstring>

#include "storage/store.h"

namespace outsize {
namespace {

constexpr std::uint64_t kWordBytes = sizeof(std::uint64_t);

// Fills a payload from its beginning.
class PayloadFill {
 public:
  explicit PayloadFill(AlignedBuffer& record) : first_(record.data() + kPageBytes), at_(first_) {}
  void put(std::uint64_t word) { put_bytes(&word, kWordBytes); }
  void put_bytes(const void* data, std::uint64_t bytes) {
    if (bytes > 0) std::memcpy(at_, data, bytes);
    at_ += bytes;
  }
  std::uint64_t bytes() const { return static_cast<std::uint64_t>(at_ - first_); }

 private:
  std::byte* first_;
  std::byte* at_;
};

}  // namespace

bool StateStore::is_whole(const BlockRange& blocks) const {
  const auto first = written_.begin() + static_cast<std::ptrdiff_t>(blocks.first);
  return std::all_of(first, first + static_cast<std::ptrdiff_t>(blocks.count),
                     [](std::uint8_t written) { return written != 0; });
}

// A sync that failed may have dropped what it did not write, and the next one would not tell.
StoreStatus StateStore::sync_now() {
  const std::lock_guard sync(sync_mutex_);
  IoStatus io = file_->sync();
  if (!io.ok()) io.code = IoCode::failed;
  return heeded(io);
}

StoreStatus StateStore::heeded(const IoStatus& io) {
  if (io.code == IoCode::failed) {
    const std::lock_guard lock(mutex_);
    failed_ = true;
  }
  return {io, {}};
}

// The payload stands in record_; two writes, not synced.
StoreStatus StateStore::write_record(std::uint64_t at, const RecordHead& head,
                                     std::uint64_t payload_bytes, KillPoint mid,
                                     std::uint64_t* head_sum) {
  const std::uint64_t sum = seal_record(head, payload_bytes, record_);
  if (head_sum != nullptr) *head_sum = sum;
  const StoreStatus payload = heeded(
      file_->write_now(at + kPageBytes, record_.data() + kPageBytes, pages_up(payload_bytes)));
  if (!payload.ok()) return payload;
  kill_point(mid);
  return heeded(file_->write_now(at, record_.data(), kPageBytes));
}

StoreStatus StateStore::finish_group(int group) {
  const auto g = static_cast<std::size_t>(group);
  bool ring_step = false;
  {
    const std::lock_guard lock(mutex_);
    if (failed_) return {{IoCode::failed}, {}};
    if (group < 0 || g >= phases_.size() || phases_[g] != Phase::writing ||
        writes_in_flight_[g] != 0 || !is_whole(geometry_.groups[g].blocks))
      return {{IoCode::invalid}, {}};
    ring_step = geometry_.scheme == StoreScheme::ring && sequence_ > 0;
  }
  if (ring_step)
    if (const StoreStatus status = write_progress(group); !status.ok()) return status;
  const std::lock_guard lock(mutex_);
  phases_[g] = Phase::finished;
  if (ring_step) ++cursor_;
  return {};
}

// One sync for copy and record: recovery reads the copy and sees whether both are there.
StoreStatus StateStore::write_progress(int group) {
  const auto g = static_cast<std::size_t>(group);
  const Geometry::Group& shape = geometry_.groups[g];
  kill_point(KillPoint::before_progress);
  PayloadFill fill(record_);
  fill.put(next_places_[g]);
  fill.put_bytes(&next_sums_[shape.blocks.first], shape.blocks.count * kWordBytes);
  const RecordHead head{.kind = RecordKind::progress,
                        .identity = layout_.identity,
                        .sequence = sequence_ + 1,
                        .step = log_step_,
                        .link = log_sum_};
  const StoreStatus written =
      write_record(shape.progress_at, head, fill.bytes(), KillPoint::mid_progress_record);
  if (!written.ok()) return written;
  kill_point(KillPoint::before_progress_sync);
  const StoreStatus synced = sync_now();
  if (synced.ok()) kill_point(KillPoint::after_progress_sync);
  return synced;
}

// The record needs no sync of its own: the first group's makes it durable, and before that no old
// copy is given up.
StoreStatus StateStore::seal_log(std::int64_t step, std::span<const std::byte> blob) {
  {
    const std::lock_guard lock(mutex_);
    if (failed_) return {{IoCode::failed}, {}};
    const bool idle = std::all_of(writes_in_flight_.begin(), writes_in_flight_.end(),
                                  [](int writes) { return writes == 0; });
    if (geometry_.scheme != StoreScheme::ring || sequence_ == 0 || sealed_ || step <= step_ ||
        blob.size() > layout_.blob_bytes_max || !idle ||
        !is_whole({geometry_.blocks, geometry_.log_blocks}))
      return {{IoCode::invalid}, {}};
  }
  kill_point(KillPoint::before_log_sync);
  if (const StoreStatus status = sync_now(); !status.ok()) return status;
  kill_point(KillPoint::after_log_sync);
  PayloadFill fill(record_);
  fill.put(blob.size());
  fill.put_bytes(next_sums_.data() + geometry_.blocks, geometry_.log_blocks * kWordBytes);
  fill.put_bytes(blob.data(), blob.size());
  const RecordHead head{.kind = RecordKind::log,
                        .identity = layout_.identity,
                        .sequence = sequence_ + 1,
                        .step = step};
  std::uint64_t sum = 0;
  const StoreStatus written =
      write_record(geometry_.log_record_at, head, fill.bytes(), KillPoint::mid_log_record, &sum);
  if (!written.ok()) return written;
  {
    const std::lock_guard lock(mutex_);
    sealed_ = true;
    cursor_ = 0;
    log_step_ = step;
    log_sum_ = sum;
    log_blob_.assign(blob.begin(), blob.end());
  }
  kill_point(KillPoint::after_log_record);
  return {};
}

IoCode StateStore::check_commit(std::int64_t step, std::size_t blob_bytes) const {
  if (failed_) return IoCode::failed;
  const bool all = sequence_ == 0 || geometry_.scheme == StoreScheme::ring;
  for (std::size_t g = 0; g < phases_.size(); ++g) {
    const bool fits = phases_[g] == Phase::finished || (phases_[g] == Phase::idle && !all);
    if (!fits || writes_in_flight_[g] != 0) return IoCode::invalid;
  }
  if (step <= step_ || blob_bytes > layout_.blob_bytes_max || (sealed_ && step != log_step_))
    return IoCode::invalid;
  return IoCode::ok;
}

// Finished groups with their new copies, all others as they were.
std::uint64_t StateStore::fill_commit_payload(std::span<const std::byte> blob) {
  PayloadFill fill(record_);
  fill.put(blob.size());
  for (std::size_t g = 0; g < phases_.size(); ++g)
    fill.put(phases_[g] == Phase::finished ? next_places_[g] : places_[g]);
  for (std::size_t g = 0; g < phases_.size(); ++g) {
    const BlockRange& blocks = geometry_.groups[g].blocks;
    const auto& sums = phases_[g] == Phase::finished ? next_sums_ : sums_;
    fill.put_bytes(&sums[blocks.first], blocks.count * kWordBytes);
  }
  fill.put_bytes(blob.data(), blob.size());
  return fill.bytes();
}

StoreStatus StateStore::commit(std::int64_t step, std::span<const std::byte> blob) {
  const bool ring_step = geometry_.scheme == StoreScheme::ring && sequence_ > 0;
  std::uint64_t payload_bytes = 0;
  {
    const std::lock_guard lock(mutex_);
    if (const IoCode code = check_commit(step, blob.size()); code != IoCode::ok)
      return {{code}, {}};
    committing_ = true;
    payload_bytes = fill_commit_payload(blob);
  }
  const StoreStatus status = [&]() -> StoreStatus {
    if (!ring_step) {  // in the ring every group has been synced by itself
      kill_point(KillPoint::before_slot_sync);
      if (const StoreStatus synced = sync_now(); !synced.ok()) return synced;
      kill_point(KillPoint::after_slot_sync);
    }
    const RecordHead head{.kind = RecordKind::commit,
                          .identity = layout_.identity,
                          .sequence = sequence_ + 1,
                          .step = step};
    const StoreStatus written = write_record(geometry_.commit_at[head.sequence % 2], head,
                                             payload_bytes, KillPoint::mid_commit_record);
    if (!written.ok()) return written;
    kill_point(KillPoint::before_commit_sync);
    if (const StoreStatus synced = sync_now(); !synced.ok()) return synced;
    kill_point(KillPoint::after_commit_sync);
    return sequence_ == 0 ? publish() : StoreStatus{};
  }();
  const std::lock_guard lock(mutex_);
  committing_ = false;
  if (status.ok()) adopt_commit(step, blob);
  return status;
}

void StateStore::adopt_commit(std::int64_t step, std::span<const std::byte> blob) {
  ++sequence_;
  step_ = step;
  blob_.assign(blob.begin(), blob.end());
  for (std::size_t g = 0; g < phases_.size(); ++g) {
    if (phases_[g] != Phase::finished) continue;
    const BlockRange& blocks = geometry_.groups[g].blocks;
    places_[g] = next_places_[g];
    std::copy_n(next_sums_.begin() + static_cast<std::ptrdiff_t>(blocks.first), blocks.count,
                sums_.begin() + static_cast<std::ptrdiff_t>(blocks.first));
    phases_[g] = Phase::idle;
  }
  std::fill(written_.begin(), written_.end(), 0);
  sealed_ = false;
  cursor_ = 0;
}

}  // namespace outsize
