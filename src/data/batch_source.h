// Batches for training (endless, shuffled, resumable) and for validation (once through, in order).
// A batch follows from the data set, its options and the cursor: reading again from a saved cursor
// gives the same batches bit for bit. Only the samples of the batch are read and tokenised.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/batch.h"
#include "data/dataset.h"
#include "data/packer.h"

namespace outsize {

// Where the next row comes from: the data part of a run's resumable state.
struct Cursor {
  std::uint64_t epoch = 0;
  std::uint64_t window = 0;       // place of the packing window's first sample in the epoch's order
  std::uint64_t row = 0;          // next row within the window
  std::uint64_t fingerprint = 0;  // Dataset::fingerprint() it belongs to

  bool operator==(const Cursor&) const = default;
};

// One JSON object.
std::string to_json(const Cursor& cursor);
// Throws Corruption when the text is not such an object.
Cursor cursor_from_json(std::string_view text);

class BatchSource {
 public:
  // rows × sequence_length positions a batch. Throws InvalidArgument when rows < 1 or a batch has
  // more than 2^31 − 1 positions.
  BatchSource(std::shared_ptr<const Dataset> dataset, std::int64_t rows);

  // Fills the next microbatch; after an epoch's last row the next epoch's first follows, so all
  // rows are always used. Reuses the batch's memory. Throws Io or Corruption when a file changed.
  void next(Batch& batch);
  // Fills the next `accumulation` microbatches, one global batch, and returns its target tokens,
  // which is at least the number of its rows: the divisor of the loss.
  std::int64_t next_global(std::int64_t accumulation, std::vector<Batch>& batches);

  Cursor cursor() const;
  // Continues where `cursor` was taken. Throws InvalidArgument when it belongs to other data or
  // options, Corruption when it points outside the data; the position is then unchanged.
  void restore(const Cursor& cursor);

  // Passes over the data so far, parts counted by samples of finished windows and rows.
  double epochs_done() const;
  const Dataset& dataset() const { return *dataset_; }

 private:
  std::shared_ptr<const Dataset> dataset_;
  std::int64_t rows_;
  Packer packer_;
  std::uint64_t epoch_ = 0;
  std::size_t row_ = 0;
  Dataset::Scratch scratch_;
  DataSample sample_;
};

class ValidationSource {
 public:
  // As BatchSource; options.shuffle is not used.
  ValidationSource(std::shared_ptr<const Dataset> dataset, std::int64_t rows);

  // Fills the next batch, the last one padded with empty rows; false when all samples were given.
  bool next(Batch& batch);
  void rewind();
  const Dataset& dataset() const { return *dataset_; }

 private:
  std::shared_ptr<const Dataset> dataset_;
  std::int64_t rows_;
  Packer packer_;
  std::uint64_t window_ = 0;  // first sample of the window loaded; the sample count at the end
  std::size_t row_ = 0;
  Dataset::Scratch scratch_;
  DataSample sample_;
};

}  // namespace outsize
