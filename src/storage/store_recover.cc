// What a state store finds when it is opened, and what verify() reads. Nothing here writes.
#include <algorithm>
#include <cstring>

#include "storage/checksum.h"
#include "storage/placement.h"
#include "storage/store.h"

namespace outsize {
namespace {

constexpr std::uint64_t kWordBytes = sizeof(std::uint64_t);

std::uint64_t word_at(const AlignedBuffer& record, std::uint64_t index) {
  std::uint64_t word = 0;
  std::memcpy(&word, record.data() + kPageBytes + index * kWordBytes, kWordBytes);
  return word;
}

// Whether a payload is a blob length, `words` words, and a blob of that length.
bool has_shape(const AlignedBuffer& record, const RecordHead& head, std::uint64_t words,
               std::uint64_t blob_bytes_max) {
  const std::uint64_t fixed = (1 + words) * kWordBytes;
  if (head.payload_bytes < fixed) return false;
  const std::uint64_t blob = word_at(record, 0);
  return blob <= blob_bytes_max && head.payload_bytes == fixed + blob;
}

void copy_blob(const AlignedBuffer& record, std::uint64_t words, std::vector<std::byte>& blob) {
  const std::byte* first = record.data() + kPageBytes + (1 + words) * kWordBytes;
  blob.assign(first, first + word_at(record, 0));
}

}  // namespace

// Into record_; false when it is torn, damaged, or another one. Throws Io.
bool StateStore::read_record(std::uint64_t at, std::uint64_t bytes, RecordKind kind,
                             RecordHead& head) {
  if (const IoStatus status = file_->read_now(at, record_.data(), bytes); !status.ok())
    throw io_error(status, path(), "read");
  return check_head(record_.data(), bytes - kPageBytes, head) == RecordState::valid &&
         head.kind == kind && head.identity == layout_.identity &&
         payload_is_sound(record_.data(), head);
}

bool StateStore::read_commit(int which, RecordHead& head) {
  const std::uint64_t groups = places_.size();
  if (!read_record(geometry_.commit_at[which], geometry_.commit_bytes, RecordKind::commit, head) ||
      head.sequence == 0 || head.sequence % 2 != static_cast<std::uint64_t>(which) ||
      !has_shape(record_, head, groups + geometry_.blocks, layout_.blob_bytes_max))
    return false;
  std::vector<std::uint64_t> places(groups);
  for (std::uint64_t g = 0; g < groups; ++g) places[g] = word_at(record_, 1 + g);
  return places_are_possible(geometry_, places);
}

// Of the record that read_commit has left in record_.
void StateStore::take_commit(std::vector<std::uint64_t>& places,
                             std::vector<std::uint64_t>& sums) const {
  places.resize(geometry_.groups.size());
  sums.resize(geometry_.blocks);
  for (std::uint64_t g = 0; g < places.size(); ++g) places[g] = word_at(record_, 1 + g);
  for (std::uint64_t b = 0; b < sums.size(); ++b) sums[b] = word_at(record_, 1 + places.size() + b);
}

void StateStore::recover() {
  RecordHead heads[2];
  const bool valid[2] = {read_commit(0, heads[0]), read_commit(1, heads[1])};
  if (!valid[0] && !valid[1])
    fail(ErrorKind::Corruption,
         "[{}] both commit records, at bytes {} to {}, are damaged; try: an older copy of the run",
         path(), geometry_.commit_at[0], geometry_.commit_at[1] + geometry_.commit_bytes);
  const int which = valid[1] && (!valid[0] || heads[1].sequence > heads[0].sequence) ? 1 : 0;
  RecordHead head;
  if (!read_commit(which, head))
    fail(ErrorKind::Io, "[{}] a commit record changed while it was read; try: again", path());
  take_commit(places_, sums_);
  copy_blob(record_, places_.size() + geometry_.blocks, blob_);
  sequence_ = head.sequence;
  step_ = head.step;
  if (geometry_.scheme != StoreScheme::ring || !recover_log()) return;
  sealed_ = true;
  const int groups = static_cast<int>(places_.size());
  while (cursor_ < groups && recover_progress(cursor_)) ++cursor_;
  if (cursor_ == 0) return;
  // The copy of the last group that moved may not have reached the disk with its record.
  const int last = cursor_ - 1;
  std::vector<StoreDamage> damage;
  const int extents =
      static_cast<int>(geometry_.groups[static_cast<std::size_t>(last)].extents.size());
  for (int e = 0; e < extents; ++e)
    check_copy(last, e, next_places_[static_cast<std::size_t>(last)], next_sums_.data(), damage);
  if (damage.empty()) return;
  phases_[static_cast<std::size_t>(last)] = Phase::idle;
  cursor_ = last;
}

// True when the gradients of the next step are durable.
bool StateStore::recover_log() {
  RecordHead head;
  if (!read_record(geometry_.log_record_at, geometry_.log_record_bytes, RecordKind::log, head) ||
      head.sequence != sequence_ + 1 || head.step <= step_ ||
      !has_shape(record_, head, geometry_.log_blocks, layout_.blob_bytes_max))
    return false;
  for (std::uint64_t b = 0; b < geometry_.log_blocks; ++b)
    next_sums_[geometry_.blocks + b] = word_at(record_, 1 + b);
  copy_blob(record_, geometry_.log_blocks, log_blob_);
  log_step_ = head.step;
  log_sum_ = head.head_sum;
  return true;
}

// True when this log's step has moved the group, as far as its record says.
bool StateStore::recover_progress(int group) {
  const auto g = static_cast<std::size_t>(group);
  const Geometry::Group& shape = geometry_.groups[g];
  const std::uint64_t words = 1 + shape.blocks.count;
  RecordHead head;
  if (!read_record(shape.progress_at, record_bytes(words * kWordBytes), RecordKind::progress,
                   head) ||
      head.sequence != sequence_ + 1 || head.step != log_step_ || head.link != log_sum_ ||
      head.payload_bytes != words * kWordBytes ||
      word_at(record_, 0) != next_place(geometry_, group, places_[g]))
    return false;
  next_places_[g] = word_at(record_, 0);
  for (std::uint64_t b = 0; b < shape.blocks.count; ++b)
    next_sums_[shape.blocks.first + b] = word_at(record_, 1 + b);
  phases_[g] = Phase::finished;
  return true;
}

// Adds the blocks of an extent that are not what `sums` (numbered as all blocks) says.
void StateStore::check_copy(int group, int extent, std::uint64_t place, const std::uint64_t* sums,
                            std::vector<StoreDamage>& damage) {
  const Geometry::Extent& shape = extent_of({group, extent});
  AlignedBuffer block(std::min(geometry_.block_bytes, std::max(shape.bytes, kPageBytes)));
  for (std::uint64_t b = 0; b < shape.blocks.count; ++b) {
    const std::uint64_t offset = b * geometry_.block_bytes;
    const StorePart part{group, extent, offset,
                         std::min(geometry_.block_bytes, shape.bytes - offset)};
    FileRange ranges[2];
    const int count = ranges_of(part, place, ranges);
    std::byte* memory = block.data();
    for (int i = 0; i < count; ++i) {
      const IoStatus status = file_->read_now(ranges[i].offset, memory, ranges[i].bytes);
      if (!status.ok()) throw io_error(status, path(), "read");
      memory += ranges[i].bytes;
    }
    if (checksum(block.data(), part.bytes) == sums[shape.blocks.first + b]) continue;
    const bool goes_on = !damage.empty() && damage.back().part.group == group &&
                         damage.back().part.extent == extent &&
                         damage.back().part.offset + damage.back().part.bytes == offset;
    if (goes_on)
      damage.back().part.bytes += part.bytes;
    else
      damage.push_back({part, ranges[0].offset});
  }
}

// Newest: groups that a pending step has moved count with their new copy, and the others need their
// part of the log.
void StateStore::verify_state(const std::vector<std::uint64_t>& places,
                              const std::vector<std::uint64_t>& sums, bool newest,
                              std::vector<StoreDamage>& damage) {
  for (std::size_t g = 0; g < places.size(); ++g) {
    const int group = static_cast<int>(g);
    const bool moved = newest && phases_[g] == Phase::finished;
    const std::uint64_t place = moved ? next_places_[g] : places[g];
    const std::uint64_t* expected = moved ? next_sums_.data() : sums.data();
    for (std::size_t e = 0; e < geometry_.groups[g].extents.size(); ++e)
      check_copy(group, static_cast<int>(e), place, expected, damage);
    for (std::size_t l = 0; newest && sealed_ && !moved && l < geometry_.groups[g].logs.size(); ++l)
      check_copy(group, log_extent(static_cast<int>(l)), 0, next_sums_.data(), damage);
  }
}

std::vector<StepReport> StateStore::verify() {
  std::vector<StepReport> reports;
  const int newest = static_cast<int>(sequence_ % 2);
  for (const int which : {newest, 1 - newest}) {
    StepReport report;
    RecordHead head;
    report.record_valid = read_commit(which, head);
    if (report.record_valid) {
      std::vector<std::uint64_t> places, sums;
      take_commit(places, sums);
      report.step = head.step;
      report.newest = head.sequence == sequence_;
      verify_state(places, sums, report.newest, report.damage);
      report.resumable = report.damage.empty();
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace outsize
