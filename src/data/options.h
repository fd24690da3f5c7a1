// What the user chooses about a data set. These values, the files and the tokenizer decide every
// batch; a saved cursor (data/batch_source.h) is valid for one combination of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace outsize {

struct DataOptions {
  // A sample that needs more than sequence_length positions. error: the row is refused. truncate:
  // its first sequence_length positions are kept. split: it becomes several samples, the later ones
  // without what came before. drop: left out. All but error are counted in DataTotals.
  enum class LongSamples { error, truncate, split, drop };

  // JSONL (.jsonl, .ndjson): one object a line with "text", or with "prompt" and "completion";
  // other fields are ignored, blank lines skipped. Any other name: plain UTF-8 text, one document,
  // or several parted by lines that hold the tokenizer's end token and nothing else.
  std::vector<std::filesystem::path> files;
  std::int64_t sequence_length = 0;  // positions in a row
  bool pack = true;                  // several samples in one row, without attention between them
  LongSamples long_samples = LongSamples::error;
  bool shuffle = true;
  std::uint64_t seed = 0;
  // Special tokens written in the data become their ids, as a rendered chat template needs it.
  bool parse_special = true;
  // Where the index of checked samples is kept for the next start; empty: nowhere.
  std::filesystem::path index_dir;
};

// "error", "truncate", "split", "drop"
const char* name_of(DataOptions::LongSamples rule);

}  // namespace outsize
