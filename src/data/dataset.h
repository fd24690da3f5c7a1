// A checked data set: how many samples, and the ids of any one of them on demand. Nothing but open
// files and totals is held in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/file.h"
#include "data/index.h"
#include "data/options.h"
#include "data/sample.h"
#include "data/text_pieces.h"
#include "tokenizer/tokenizer.h"

namespace outsize {

class Dataset {
 public:
  // Checks every row (data/check.h), or takes the index of an earlier start from options.index_dir
  // when files, tokenizer and options are the same. `tokenizer` must outlive the data set.
  // Throws InvalidArgument naming the first bad rows and counting the rest, or when there is no
  // sample at all; Io when a file cannot be read or the index cannot be written.
  static std::shared_ptr<const Dataset> open(const DataOptions& options,
                                             const Tokenizer& tokenizer);

  const DataOptions& options() const { return options_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const DataTotals& totals() const { return index_.totals(); }
  std::uint64_t samples() const { return index_.totals().samples; }
  // Whether the index was found instead of made.
  bool was_indexed() const { return was_indexed_; }
  // Equal for equal samples, options and therefore batches; part of a saved cursor.
  std::uint64_t fingerprint() const { return fingerprint_; }

  IndexEntry entry(std::uint64_t sample) const;

  // Working memory of load(); one per thread.
  struct Scratch {
    std::string line;
    Row row;
    std::vector<TokenId> piece_ids;
    std::unique_ptr<PieceReader> pieces;
    std::size_t pieces_file = 0;  // the file `pieces` reads
  };
  // Tokenises one sample: entry.positions + 1 ids. Thread-safe. Throws Corruption when the file no
  // longer holds what was checked.
  void load(const IndexEntry& entry, Scratch& scratch, DataSample& sample) const;

  // "train.jsonl:17" (a text file: the line its piece begins in). Reads the file up to there.
  std::string place_of(const IndexEntry& entry) const;

 private:
  Dataset(const DataOptions& options, const Tokenizer& tokenizer, std::vector<File> files,
          DataIndex index, bool was_indexed);
  void load_row(const IndexEntry& entry, Scratch& scratch, DataSample& sample) const;
  void load_text(const IndexEntry& entry, Scratch& scratch, DataSample& sample) const;
  [[noreturn]] void fail_changed(const IndexEntry& entry) const;

  DataOptions options_;
  const Tokenizer& tokenizer_;
  std::string end_line_;
  std::vector<File> files_;
  DataIndex index_;
  bool was_indexed_;
  std::uint64_t fingerprint_;
};

}  // namespace outsize
