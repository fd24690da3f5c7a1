#include "train/durable_state.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <span>
#include <type_traits>

#include "core/error.h"
#include "core/half.h"
#include "core/rng.h"
#include "optim/master.h"
#include "storage/aligned_buffer.h"
#include "storage/real_disk.h"
#include "train/store_folder.h"
#include "weights/checkpoint.h"

namespace outsize {
namespace {

constexpr std::int64_t kStageElements = 1 << 20;  // per write; whole blocks in every dtype
constexpr std::uint64_t kMoveBytes = 64 << 20;
constexpr std::uint64_t kImportBytes = 8 << 20;  // as checkpoints come

// Tells this run's store from another's: no other one begins at this instant in this process.
std::uint64_t new_identity() {
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  return Rng(static_cast<std::uint64_t>(now), static_cast<std::uint64_t>(::getpid())).bits(0);
}

// Writes parameters into a store as their values arrive.
class Filler {
 public:
  Filler(const Program& program, const Plan& plan, StateStore& store)
      : program_(program),
        store_(store),
        parts_(store_parts(plan)),
        weight_(kStageElements * 4),
        low_(kStageElements * 2),
        zeros_(kStageElements * 4) {
    left_.assign(store.layout().groups.size(), 0);
    for (const auto& items : parts_) ++left_[static_cast<size_t>(items.front().group)];
  }

  void take(int p, std::int64_t first, std::int64_t count, const float* values) {
    const ValueType& type = program_.parameters[static_cast<size_t>(p)].type;
    while (count > 0) {
      const std::int64_t now = std::min(count, kStageElements - staged_);
      stage(type.dtype, values, now);
      staged_ += now;
      values += now;
      first += now;
      count -= now;
      const bool last = first == type.shape.numel();
      if (staged_ == kStageElements || last) flush(p, first - staged_, type.dtype);
      if (last) finish(p, type.dtype);
    }
  }

 private:
  void stage(DType dtype, const float* values, std::int64_t count) {
    if (dtype == DType::f32) {
      std::copy_n(values, count, reinterpret_cast<float*>(weight_.data()) + staged_);
      return;
    }
    store_master(values, count, reinterpret_cast<bf16*>(weight_.data()) + staged_,
                 reinterpret_cast<std::int16_t*>(low_.data()) + staged_);
  }

  void flush(int p, std::int64_t first, DType dtype) {
    const auto& items = parts_[static_cast<size_t>(p)];
    write(items[0], first * size_of(dtype), staged_ * size_of(dtype), weight_.data());
    if (dtype != DType::f32) write(items[1], first * 2, staged_ * 2, low_.data());
    staged_ = 0;
  }

  // What is not weight starts as zeros; the low half of a master is part of the weight.
  void finish(int p, DType dtype) {
    const auto& items = parts_[static_cast<size_t>(p)];
    for (size_t i = dtype == DType::f32 ? 1 : 2; i < items.size(); ++i)
      for (std::uint64_t at = 0; at < items[i].bytes; at += zeros_.size())
        write(items[i], static_cast<std::int64_t>(at),
              static_cast<std::int64_t>(std::min(zeros_.size(), items[i].bytes - at)),
              zeros_.data());
    const int group = items.front().group;
    if (--left_[static_cast<size_t>(group)] > 0) return;
    const StoreStatus status = store_.finish_group(group);
    if (!status.ok()) throw store_.error(status);
  }

  void write(StorePart part, std::int64_t offset, std::int64_t bytes, const std::byte* memory) {
    part.offset = static_cast<std::uint64_t>(offset);
    part.bytes = pages_up(static_cast<std::uint64_t>(bytes));
    const StoreStatus status = store_.wait(store_.write(part, memory));
    if (!status.ok()) throw store_.error(status);
  }

  const Program& program_;
  StateStore& store_;
  std::vector<std::vector<StorePart>> parts_;
  AlignedBuffer weight_, low_, zeros_;
  std::vector<int> left_;  // per group: parameters not yet written
  std::int64_t staged_ = 0;
};

}  // namespace

std::optional<StoreScheme> DurableState::scheme_of(const std::string& folder) {
  const auto disk = make_real_disk();
  if (!StateStore::exists(*disk, store_folder(folder))) return std::nullopt;
  return StateStore::layout_of(*disk, store_folder(folder)).scheme;
}

void DurableState::remove_unfinished(const std::string& folder) {
  StateStore::remove_unfinished(*make_real_disk(), store_folder(folder));
}

DurableState::DurableState(const std::string& folder, const Program& program, const Plan& plan,
                           std::int64_t scratch_bytes, std::uint64_t block_bytes,
                           const StoreOptions& options, Disk* disk)
    : program_(program),
      plan_(plan),
      own_disk_(disk ? nullptr : make_real_disk()),
      disk_(disk ? *disk : *own_disk_) {
  const std::string own = store_folder(folder);
  disk_.create_folder(own);
  const StoreLayout layout = store_layout(plan, new_identity(), block_bytes);
  if (StateStore::exists(disk_, own)) {
    store_ = StateStore::open(disk_, own, options);
    check_layout(layout);
  } else {
    store_ = StateStore::create(disk_, own, layout, options);
  }
  tiers_ = std::make_shared<DiskTiers>(disk_, own, scratch_bytes, store_.get());
}

void DurableState::check_layout(const StoreLayout& expected) const {
  const StoreLayout& found = store_->layout();
  const auto same_extent = [](const ExtentSpec& a, const ExtentSpec& b) {
    return a.name == b.name && a.bytes == b.bytes;
  };
  const bool same = std::equal(found.groups.begin(), found.groups.end(), expected.groups.begin(),
                               expected.groups.end(), [&](const GroupSpec& a, const GroupSpec& b) {
                                 return std::equal(a.extents.begin(), a.extents.end(),
                                                   b.extents.begin(), b.extents.end(), same_extent);
                               });
  if (!same)
    fail(ErrorKind::InvalidArgument,
         "[run] {}: the state in this folder is another model's or optimizer's; try another run "
         "folder",
         store_->path());
  ensure(found.scheme == expected.scheme, "[run] {}: the plan is for another layout of the store",
         store_->path());
}

std::optional<HalfStep> DurableState::half_step() const {
  const auto pending = store_->pending();
  if (!pending) return std::nullopt;
  HalfStep half{.step = pending->step};
  if (pending->blob.size() < sizeof half.updates)
    fail(ErrorKind::Corruption, "[run] {}: the record of the gradient log is another program's",
         store_->path());
  std::memcpy(&half.updates, pending->blob.data(), sizeof half.updates);
  half.first_call = call_of_group(plan_, pending->first_group);
  const auto rest = pending->blob.subspan(sizeof half.updates);
  half.blob.assign(reinterpret_cast<const char*>(rest.data()), rest.size());
  return half;
}

std::string DurableState::blob() const {
  const auto bytes = store_->blob();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void DurableState::fill(const std::function<void(const WeightSink&)>& produce) {
  Filler filler(program_, plan_, *store_);
  const auto take = [&](int p, std::int64_t first, std::int64_t count, const float* values) {
    filler.take(p, first, count, values);
  };
  produce({take, {}, {}});
}

void DurableState::import(const std::string& checkpoint,
                          const std::vector<std::vector<std::int64_t>>& bytes) {
  std::vector<NamedBytes> tensors;
  std::vector<StorePart> places;
  std::vector<int> left(store_->layout().groups.size(), 0);  // tensors to come
  const auto parts = store_parts(plan_);
  for (size_t p = 0; p < parts.size(); ++p)
    for (size_t i = 0; i < parts[p].size(); ++i) {
      tensors.push_back({plan_.store[p][i].name, bytes[p][i]});
      places.push_back(parts[p][i]);
      ++left[static_cast<size_t>(parts[p][i].group)];
    }
  const auto require = [this](const StoreStatus& status) {
    if (!status.ok()) throw store_->error(status);
  };
  AlignedBuffer stage(kImportBytes);
  stream_checkpoint(checkpoint, tensors,
                    [&](size_t t, std::int64_t offset, std::span<const char> piece) {
                      ensure(piece.size() <= stage.size(), "[run] a piece is too large");
                      StorePart part = places[t];
                      part.offset = static_cast<std::uint64_t>(offset);
                      part.bytes = pages_up(piece.size());
                      std::memcpy(stage.data(), piece.data(), piece.size());
                      std::memset(stage.data() + piece.size(), 0, part.bytes - piece.size());
                      require(store_->wait(store_->write(part, stage.data())));
                      if (offset + static_cast<std::int64_t>(piece.size()) < tensors[t].bytes)
                        return;
                      if (--left[static_cast<size_t>(part.group)] == 0)
                        require(store_->finish_group(part.group));
                    });
}

void DurableState::read_whole(const StorePart& part, char* memory) {
  for (std::uint64_t at = 0; at < part.bytes; at += kMoveBytes) {
    StorePart piece = part;
    piece.offset = at;
    piece.bytes = std::min(kMoveBytes, part.bytes - at);
    const StoreStatus status = store_->wait(store_->read(piece, memory + at));
    if (!status.ok()) throw store_->error(status);
  }
}

void DurableState::read_residents(char* arena) {
  const auto parts = store_parts(plan_);
  for (size_t p = 0; p < parts.size(); ++p)
    for (size_t i = 0; i < parts[p].size(); ++i) {
      const int id = i == 0 ? plan_.weights[p] : plan_.optimizer[p][i - 1];
      if (id >= 0)
        read_whole(parts[p][i], arena + plan_.buffers[static_cast<size_t>(id)].extent.offset);
    }
}

void DurableState::commit(std::int64_t step, std::string_view blob) {
  for (HandedOver& other : handed_over_) other.step = -1;
  write_commit(step, blob);
}

void DurableState::hand_over(std::uint64_t run, std::int64_t step, std::string_view blob) {
  HandedOver& next = handed_over_[run % 2];
  next.step = step;
  next.blob = blob;
}

void DurableState::commit_handed_over(std::uint64_t run) {
  HandedOver& own = handed_over_[run % 2];
  if (own.step < 0) return;
  write_commit(own.step, own.blob);
  own.step = -1;
}

void DurableState::write_commit(std::int64_t step, std::string_view blob) {
  const StoreStatus status =
      store_->commit(step, {reinterpret_cast<const std::byte*>(blob.data()), blob.size()});
  if (!status.ok()) throw store_->error(status);
}

void DurableState::seal(const PendingUpdates& updates, std::string_view blob) {
  static_assert(std::is_trivially_copyable_v<PendingUpdates>);
  sealed_blob_.assign(reinterpret_cast<const char*>(&updates), sizeof updates);
  sealed_blob_ += blob;
  const StoreStatus status = store_->seal_log(
      updates.args.step, std::as_bytes(std::span(sealed_blob_.data(), sealed_blob_.size())));
  if (!status.ok()) throw store_->error(status);
}

void DurableState::commit_sealed() {
  const auto pending = store_->pending();
  ensure(pending.has_value(), "[run] {}: no step to commit", store_->path());
  const StoreStatus status =
      store_->commit(pending->step, pending->blob.subspan(sizeof(PendingUpdates)));
  if (!status.ok()) throw store_->error(status);
}

}  // namespace outsize
