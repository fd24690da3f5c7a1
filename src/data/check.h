// Reads every row of a data set once, before any weight is loaded: what is wrong is said with file,
// line and field, and where each good sample lies goes to the index. Memory does not grow with the
// data; rows are tokenised on all threads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/index.h"
#include "data/options.h"
#include "tokenizer/tokenizer.h"

namespace outsize {

struct DataProblem {
  std::string file;
  std::int64_t line = 0;  // from 1
  std::string field;      // empty: the whole line
  std::string what;
};

struct DataReport {
  std::vector<DataProblem> problems;  // the first kMaxShownProblems
  std::uint64_t problem_count = 0;    // all of them
  DataTotals totals;                  // of the good rows

  bool is_clean() const { return problem_count == 0; }
};

inline constexpr std::size_t kMaxShownProblems = 20;

// "train.jsonl:17: completion: is empty; expected …", one line each, then how many more.
std::string to_string(const DataReport& report);

// Reads all rows; bad ones are reported, not thrown. Good ones are added to `index` when it is not
// null. Throws InvalidArgument for bad options (no file, sequence_length, a kind of file not read),
// Io when a file cannot be read.
DataReport check_dataset(const DataOptions& options, const Tokenizer& tokenizer,
                         IndexWriter* index = nullptr);

// Throws InvalidArgument as above; touches no file.
void check_options(const DataOptions& options);

// Whether the name says JSONL; otherwise the file is plain text.
bool is_jsonl(const std::filesystem::path& file);

// The line that parts documents in text files: the end token's text; empty when there is none.
std::string document_end_line(const Tokenizer& tokenizer);

}  // namespace outsize
