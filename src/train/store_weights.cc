#include "train/store_weights.h"

#include <algorithm>
#include <map>

#include "core/error.h"
#include "core/half.h"
#include "optim/master.h"
#include "optim/update_rule.h"
#include "storage/aligned_buffer.h"
#include "storage/real_disk.h"
#include "storage/store.h"
#include "train/store_folder.h"

namespace outsize {
namespace {

// The step of which all groups are: in the ring a crash may leave some before and some after one.
std::int64_t whole_step_of(const StateStore& store) {
  const auto half = store.pending();
  if (!half || half->first_group == 0) return store.step();
  if (half->first_group == static_cast<int>(store.layout().groups.size())) return half->step;
  fail(ErrorKind::InvalidArgument,
       "[store] {}: a crash has cut step {} short, and its state is partly old and partly new; try "
       "`outsize train` once more, which finishes the step from its gradient log",
       store.path(), half->step);
}

class StoreWeights : public WeightReader {
 public:
  explicit StoreWeights(const std::string& folder)
      : disk_(make_real_disk()), store_(StateStore::open(*disk_, folder, {})) {
    whole_step_of(*store_);
    const auto& groups = store_->layout().groups;
    for (size_t g = 0; g < groups.size(); ++g)
      for (size_t e = 0; e < groups[g].extents.size(); ++e)
        parts_[groups[g].extents[e].name] = {static_cast<int>(g), static_cast<int>(e), 0,
                                             groups[g].extents[e].bytes};
  }

  void check(const WeightSource& source, const Shape& shape) const override {
    const std::uint64_t elements = static_cast<std::uint64_t>(shape.numel());
    const std::uint64_t element = low_half(source) != nullptr ? 2 : 4;
    const auto at = parts_.find(source.parameter);
    if (at == parts_.end() || at->second.bytes != pages_up(elements * element))
      fail(ErrorKind::Corruption, "[store] {}: '{}' is missing or has another shape; expected {}",
           store_->path(), source.parameter, to_string(shape));
  }

  void read(const WeightSource& source, const Shape& shape, std::int64_t first_row,
            std::int64_t rows, float* destination) const override {
    check(source, shape);
    const std::int64_t first = first_row * column_count(shape), count = rows * column_count(shape);
    const StorePart& weight = parts_.at(source.parameter);
    const StorePart* low = low_half(source);
    if (low == nullptr) {
      const Range range = bring(weight, first * 4, count * 4);
      std::copy_n(reinterpret_cast<const float*>(range.begin), count, destination);
      return;
    }
    const Range high = bring(weight, first * 2, count * 2),
                rest = bring(*low, first * 2, count * 2);
    load_master(reinterpret_cast<const bf16*>(high.begin),
                reinterpret_cast<const std::int16_t*>(rest.begin), count, destination);
  }

 private:
  struct Range {
    std::unique_ptr<AlignedBuffer> memory;
    const std::byte* begin;
  };

  const StorePart* low_half(const WeightSource& source) const {
    const auto at = parts_.find(source.parameter + ":" + kMasterLow);
    return at == parts_.end() ? nullptr : &at->second;
  }

  // What is under one checksum is read as one.
  Range bring(StorePart part, std::int64_t offset, std::int64_t bytes) const {
    const std::uint64_t block = store_->layout().block_bytes;
    const auto from = static_cast<std::uint64_t>(offset);
    const std::uint64_t begin = from / block * block;
    const std::uint64_t end = std::min(
        part.bytes, (from + static_cast<std::uint64_t>(bytes) + block - 1) / block * block);
    part.offset = begin;
    part.bytes = end - begin;
    auto memory = std::make_unique<AlignedBuffer>(part.bytes);
    const StoreStatus status = store_->wait(store_->read(part, memory->data()));
    if (!status.ok()) throw store_->error(status);
    const std::byte* at = memory->data() + (from - begin);
    return {std::move(memory), at};
  }

  std::unique_ptr<Disk> disk_;
  std::unique_ptr<StateStore> store_;
  std::map<std::string, StorePart> parts_;
};

}  // namespace

std::optional<std::int64_t> stored_step_of(const std::string& run_folder) {
  const auto disk = make_real_disk();
  if (!StateStore::exists(*disk, store_folder(run_folder))) return std::nullopt;
  return whole_step_of(*StateStore::open(*disk, store_folder(run_folder), {}));
}

std::unique_ptr<WeightReader> open_store_weights(const std::string& run_folder) {
  return std::make_unique<StoreWeights>(store_folder(run_folder));
}

}  // namespace outsize
