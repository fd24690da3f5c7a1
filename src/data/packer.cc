#include "data/packer.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "data/shuffle.h"

namespace outsize {
namespace {

// Half a row is lost at a window's end on average: 0.4 % with 128 rows. The second bound keeps the
// memory of a window of very short samples small.
constexpr std::int64_t kWindowRows = 128;
constexpr std::size_t kWindowSamples = 4096;

}  // namespace

Packer::Packer(const Dataset& dataset, bool shuffle) : dataset_(dataset), shuffle_(shuffle) {
  arrived_.reserve(kWindowSamples);
  by_length_.reserve(kWindowSamples);
  row_of_.reserve(kWindowSamples);
  row_free_.reserve(kWindowSamples);
  packed_.reserve(kWindowSamples);
  row_begin_.reserve(kWindowSamples + 1);
}

std::size_t Packer::choose_row(std::uint32_t positions) {
  std::size_t best = row_free_.size();
  if (dataset_.options().pack) {
    for (std::size_t i = 0; i < row_free_.size(); ++i) {
      if (row_free_[i] < positions) continue;
      if (best == row_free_.size() || row_free_[i] < row_free_[best]) best = i;
    }
  }
  if (best == row_free_.size()) row_free_.push_back(dataset_.options().sequence_length);
  row_free_[best] -= positions;
  return best;
}

void Packer::load_window(std::uint64_t epoch, std::uint64_t start) {
  const std::uint64_t n = dataset_.samples();
  ensure(start < n, "[data] window at sample {} of {}", start, n);
  const Permutation order(n, dataset_.options().seed, epoch);
  const std::int64_t capacity = kWindowRows * dataset_.options().sequence_length;
  arrived_.clear();
  std::int64_t positions = 0;
  for (std::uint64_t i = start; i < n && arrived_.size() < kWindowSamples && positions < capacity;
       ++i) {
    arrived_.push_back(dataset_.entry(shuffle_ ? order(i) : i));
    positions += arrived_.back().positions;
  }
  start_ = start;
  samples_ = arrived_.size();
  choose_rows();
  group_by_row();
}

// Fills row_of_: longest samples first, each into the fullest row that holds it.
void Packer::choose_rows() {
  by_length_.resize(arrived_.size());
  std::iota(by_length_.begin(), by_length_.end(), 0u);
  if (dataset_.options().pack) {
    std::sort(by_length_.begin(), by_length_.end(), [&](std::uint32_t a, std::uint32_t b) {
      const std::uint32_t x = arrived_[a].positions, y = arrived_[b].positions;
      return x != y ? x > y : a < b;
    });
  }
  row_of_.resize(arrived_.size());
  row_free_.clear();
  for (const std::uint32_t i : by_length_)
    row_of_[i] = static_cast<std::uint32_t>(choose_row(arrived_[i].positions));

  // Number the rows by the arrival of their first sample: otherwise the long samples of a window
  // would all be trained before the short ones.
  constexpr std::uint32_t kUnnumbered = ~std::uint32_t{0};
  std::vector<std::uint32_t>& number_of = by_length_;
  number_of.assign(row_free_.size(), kUnnumbered);
  std::uint32_t rows = 0;
  for (std::uint32_t& row : row_of_) {
    if (number_of[row] == kUnnumbered) number_of[row] = rows++;
    row = number_of[row];
  }
}

void Packer::group_by_row() {
  // A counting sort; within a row samples keep their order of arrival.
  row_begin_.assign(row_free_.size() + 1, 0);
  for (const std::uint32_t row : row_of_) ++row_begin_[row + 1];
  for (std::size_t i = 1; i < row_begin_.size(); ++i) row_begin_[i] += row_begin_[i - 1];
  packed_.resize(arrived_.size());
  for (std::size_t i = 0; i < arrived_.size(); ++i) packed_[row_begin_[row_of_[i]]++] = arrived_[i];
  std::copy_backward(row_begin_.begin(), row_begin_.end() - 1, row_begin_.end());
  row_begin_.front() = 0;
}

std::span<const IndexEntry> Packer::row(std::size_t index) const {
  ensure(index < row_count(), "[data] row {} of {} asked", index, row_count());
  return {packed_.data() + row_begin_[index], row_begin_[index + 1] - row_begin_[index]};
}

std::uint64_t count_rows(const Dataset& dataset, bool shuffle, std::uint64_t epoch) {
  if (!dataset.options().pack) return dataset.samples();
  Packer packer(dataset, shuffle);
  std::uint64_t rows = 0;
  for (std::uint64_t at = 0; at < dataset.samples(); at += packer.window_samples()) {
    packer.load_window(epoch, at);
    rows += packer.row_count();
  }
  return rows;
}

}  // namespace outsize
