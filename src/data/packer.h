// Fills rows of sequence_length positions with whole samples. The shuffled order is taken in
// windows (some 128 rows' worth); within one, each sample goes to the fullest row it still fits
// (best fit). A window follows from its first sample alone, so the place (epoch, window, row) is
// all there is to save, and memory is bounded by a window.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset.h"

namespace outsize {

class Packer {
 public:
  // `dataset` must outlive the packer. Without `shuffle` samples come in the order of the files.
  Packer(const Dataset& dataset, bool shuffle);

  // Packs the window whose first sample is at place `start` of `epoch`'s order.
  void load_window(std::uint64_t epoch, std::uint64_t start);

  std::uint64_t window_start() const { return start_; }
  // Samples in this window; the next begins after them, or the epoch ends.
  std::uint64_t window_samples() const { return samples_; }
  std::size_t row_count() const { return row_begin_.empty() ? 0 : row_begin_.size() - 1; }
  // The samples of a row, in the order they lie in it.
  std::span<const IndexEntry> row(std::size_t index) const;

 private:
  std::size_t choose_row(std::uint32_t positions);
  void choose_rows();
  void group_by_row();

  const Dataset& dataset_;
  bool shuffle_;
  std::uint64_t start_ = 0;
  std::uint64_t samples_ = 0;
  // Of the window. All are reserved once: loading a window allocates nothing.
  std::vector<IndexEntry> arrived_;       // in order
  std::vector<std::uint32_t> by_length_;  // their numbers, longest first
  std::vector<std::uint32_t> row_of_;     // row of each
  std::vector<std::int64_t> row_free_;    // positions left in each row
  std::vector<IndexEntry> packed_;        // grouped by row
  std::vector<std::uint32_t> row_begin_;  // first of each row in packed_, and the end
};

// Rows an epoch fills; reads the index once through. Positions / (rows × sequence_length) is the
// share of a row that is not padding.
std::uint64_t count_rows(const Dataset& dataset, bool shuffle, std::uint64_t epoch);

}  // namespace outsize
