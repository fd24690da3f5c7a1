#include "data/batch_source.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace outsize {
namespace {

constexpr TokenId kPaddingId = 0;
constexpr std::int32_t kNoTarget = -1;

void check_batch_shape(std::int64_t rows, std::int64_t sequence_length) {
  std::int64_t positions = 0;
  if (rows < 1 || __builtin_mul_overflow(rows, sequence_length, &positions) ||
      positions > std::numeric_limits<std::int32_t>::max())
    fail(ErrorKind::InvalidArgument,
         "[data] a batch of {} rows of {} positions is out of range; "
         "expected at least one row and at most 2147483647 positions",
         rows, sequence_length);
}

// All padding: every position is a document of its own, without a target.
void clear_batch(std::int64_t rows, std::int64_t sequence_length, Batch& batch) {
  const std::size_t n = static_cast<std::size_t>(rows * sequence_length);
  batch.tokens.assign(n, kPaddingId);
  batch.positions.assign(n, 0);
  batch.targets.assign(n, kNoTarget);
  batch.document_start.resize(n);
  for (std::size_t i = 0; i < n; ++i) batch.document_start[i] = static_cast<std::int32_t>(i);
  batch.target_tokens = 0;
  batch.real_tokens = 0;
}

// Places one sample from flat position `start` on.
void place_sample(const DataSample& sample, std::size_t start, Batch& batch) {
  const std::size_t positions = static_cast<std::size_t>(sample.positions());
  const std::size_t first_trained = static_cast<std::size_t>(sample.first_trained);
  for (std::size_t i = 0; i < positions; ++i) {
    batch.tokens[start + i] = sample.ids[i];
    batch.positions[start + i] = static_cast<std::int32_t>(i);
    batch.document_start[start + i] = static_cast<std::int32_t>(start);
    if (i + 1 < first_trained) continue;
    batch.targets[start + i] = sample.ids[i + 1];
    ++batch.target_tokens;
  }
  batch.real_tokens += sample.positions();
}

void fill_row(const Dataset& dataset, std::span<const IndexEntry> entries, std::size_t start,
              Dataset::Scratch& scratch, DataSample& sample, Batch& batch) {
  for (const IndexEntry& entry : entries) {
    dataset.load(entry, scratch, sample);
    place_sample(sample, start, batch);
    start += entry.positions;
  }
}

}  // namespace

std::string to_json(const Cursor& cursor) {
  const nlohmann::ordered_json json = {{"epoch", cursor.epoch},
                                       {"window", cursor.window},
                                       {"row", cursor.row},
                                       {"fingerprint", fmt::format("{:016x}", cursor.fingerprint)}};
  return json.dump();
}

Cursor cursor_from_json(std::string_view text) {
  const auto json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  const auto number = [&](const char* name) {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_number_unsigned())
      fail(ErrorKind::Corruption, "[data] the saved cursor has no whole number '{}'", name);
    return found->get<std::uint64_t>();
  };
  if (!json.is_object())
    fail(ErrorKind::Corruption, "[data] the saved cursor is not a JSON object");
  Cursor cursor = {number("epoch"), number("window"), number("row"), 0};
  const auto print = json.find("fingerprint");
  const std::string digits =
      print != json.end() && print->is_string() ? print->get<std::string>() : "";
  if (digits.size() != 16 || digits.find_first_not_of("0123456789abcdef") != std::string::npos)
    fail(ErrorKind::Corruption, "[data] the saved cursor has no fingerprint of 16 hex digits");
  cursor.fingerprint = std::stoull(digits, nullptr, 16);
  return cursor;
}

BatchSource::BatchSource(std::shared_ptr<const Dataset> dataset, std::int64_t rows)
    : dataset_(std::move(dataset)), rows_(rows), packer_(*dataset_, dataset_->options().shuffle) {
  check_batch_shape(rows, dataset_->options().sequence_length);
  packer_.load_window(0, 0);
}

void BatchSource::next(Batch& batch) {
  const std::int64_t length = dataset_->options().sequence_length;
  clear_batch(rows_, length, batch);
  for (std::int64_t row = 0; row < rows_; ++row) {
    fill_row(*dataset_, packer_.row(row_), static_cast<std::size_t>(row * length), scratch_,
             sample_, batch);
    if (++row_ < packer_.row_count()) continue;
    std::uint64_t start = packer_.window_start() + packer_.window_samples();
    if (start == dataset_->samples()) {
      ++epoch_;
      start = 0;
    }
    packer_.load_window(epoch_, start);
    row_ = 0;
  }
}

std::int64_t BatchSource::next_global(std::int64_t accumulation, std::vector<Batch>& batches) {
  if (accumulation < 1)
    fail(ErrorKind::InvalidArgument, "[data] accumulation is {}; expected at least 1",
         accumulation);
  batches.resize(static_cast<std::size_t>(accumulation));
  std::int64_t target_tokens = 0;
  for (Batch& batch : batches) {
    next(batch);
    target_tokens += batch.target_tokens;
  }
  return target_tokens;
}

Cursor BatchSource::cursor() const {
  return {epoch_, packer_.window_start(), row_, dataset_->fingerprint()};
}

void BatchSource::restore(const Cursor& cursor) {
  if (cursor.fingerprint != dataset_->fingerprint())
    fail(ErrorKind::InvalidArgument,
         "[data] the data set, the tokenizer or the data options changed "
         "since the run was saved; got fingerprint {:016x}; expected {:016x}; try a new run folder",
         dataset_->fingerprint(), cursor.fingerprint);
  const Cursor here = this->cursor();
  if (cursor.window < dataset_->samples()) packer_.load_window(cursor.epoch, cursor.window);
  if (cursor.window >= dataset_->samples() || cursor.row >= packer_.row_count()) {
    packer_.load_window(here.epoch, here.window);
    fail(ErrorKind::Corruption,
         "[data] the saved cursor points outside the data; got window {}, row "
         "{} of {} samples",
         cursor.window, cursor.row, dataset_->samples());
  }
  epoch_ = cursor.epoch;
  row_ = static_cast<std::size_t>(cursor.row);
}

double BatchSource::epochs_done() const {
  const double in_window = static_cast<double>(packer_.window_samples()) *
                           static_cast<double>(row_) / static_cast<double>(packer_.row_count());
  const double samples = static_cast<double>(packer_.window_start()) + in_window;
  return static_cast<double>(epoch_) + samples / static_cast<double>(dataset_->samples());
}

ValidationSource::ValidationSource(std::shared_ptr<const Dataset> dataset, std::int64_t rows)
    : dataset_(std::move(dataset)), rows_(rows), packer_(*dataset_, false) {
  check_batch_shape(rows, dataset_->options().sequence_length);
  rewind();
}

void ValidationSource::rewind() {
  window_ = 0;
  row_ = 0;
  packer_.load_window(0, 0);
}

bool ValidationSource::next(Batch& batch) {
  if (window_ == dataset_->samples()) return false;
  const std::int64_t length = dataset_->options().sequence_length;
  clear_batch(rows_, length, batch);
  for (std::int64_t row = 0; row < rows_ && window_ < dataset_->samples(); ++row) {
    fill_row(*dataset_, packer_.row(row_), static_cast<std::size_t>(row * length), scratch_,
             sample_, batch);
    if (++row_ < packer_.row_count()) continue;
    row_ = 0;
    window_ += packer_.window_samples();
    if (window_ < dataset_->samples()) packer_.load_window(0, window_);
  }
  return true;
}

}  // namespace outsize
