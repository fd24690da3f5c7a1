#include "data/check.h"

#include <algorithm>
#include <cctype>
#include <exception>
#include <limits>
#include <mutex>

#include "core/error.h"
#include "core/parallel.h"
#include "data/line_reader.h"
#include "data/sample.h"
#include "data/text_pieces.h"
#include "data/utf8.h"

namespace outsize {
namespace {

// Lines or pieces one thread takes at a time: enough to hide the hand-over, few enough to balance.
constexpr std::int64_t kGrain = 4;
constexpr std::size_t kTextBlockBytes = std::size_t{1} << 20;

std::string lower_extension(const std::filesystem::path& file) {
  std::string extension = file.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

// parallel_for whose body may throw: the first exception is thrown again here.
template <class Body>
void parallel_for_throwing(std::int64_t n, const Body& body) {
  std::exception_ptr error;
  std::mutex mutex;
  parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    try {
      for (std::int64_t i = begin; i < end; ++i) body(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
  });
  if (error) std::rethrow_exception(error);
}

class Checker {
 public:
  Checker(const DataOptions& options, const Tokenizer& tokenizer, IndexWriter* index)
      : options_(options), tokenizer_(tokenizer), index_(index) {}

  DataReport run() {
    for (file_number_ = 0; file_number_ < options_.files.size(); ++file_number_) {
      const std::string path = options_.files[file_number_].string();
      const File file = File::open(path);
      if (file.size() > IndexEntry::kMaxOffset)
        fail(ErrorKind::Unsupported, "[data] '{}' is too large; got {} bytes; expected below 2^48",
             path, file.size());
      is_jsonl(path) ? check_rows(file) : check_text(file);
    }
    return std::move(report_);
  }

 private:
  // What one line turned out to be.
  struct RowResult {
    bool is_blank = false;
    bool is_text = false;
    std::int64_t ids = 0;
    std::int64_t first_trained = 1;
    RowProblem problem;
  };

  void add_problem(std::int64_t line, RowProblem problem) {
    ++report_.problem_count;
    if (report_.problems.size() < kMaxShownProblems)
      report_.problems.push_back({options_.files[file_number_].string(), line,
                                  std::move(problem.field), std::move(problem.what)});
  }

  void add_sample(std::uint64_t offset, std::uint32_t skip, std::int64_t positions,
                  std::int64_t targets) {
    DataTotals& totals = report_.totals;
    ++totals.samples;
    totals.positions += static_cast<std::uint64_t>(positions);
    totals.targets += static_cast<std::uint64_t>(targets);
    totals.longest_positions =
        std::max(totals.longest_positions, static_cast<std::uint64_t>(positions));
    if (index_)
      index_->add({std::uint64_t{file_number_} << 48 | offset, skip,
                   static_cast<std::uint32_t>(positions)});
  }

  RowResult read_row(const Line& line) const {
    RowResult result;
    if (line.is_too_long) {
      result.problem = {"", fmt::format("is longer than {} MiB; expected shorter rows, or a text "
                                        "file for one long document",
                                        kMaxLineBytes >> 20)};
      return result;
    }
    result.is_blank = line.text.find_first_not_of(" \t\r") == std::string_view::npos;
    if (result.is_blank) return result;
    Row row;
    thread_local DataSample sample;  // keeps its memory from row to row
    if (!parse_row(line.text, row, result.problem) ||
        !render_row(row, tokenizer_, options_.parse_special, sample, result.problem))
      return result;
    result.is_text = row.has_text;
    result.ids = static_cast<std::int64_t>(sample.ids.size());
    result.first_trained = sample.first_trained;
    return result;
  }

  void check_rows(const File& file) {
    LineReader reader(file);
    std::vector<Line> lines;
    std::vector<RowResult> results;
    while (reader.next(lines)) {
      results.assign(lines.size(), {});
      parallel_for_throwing(static_cast<std::int64_t>(lines.size()), [&](std::int64_t i) {
        results[static_cast<std::size_t>(i)] = read_row(lines[static_cast<std::size_t>(i)]);
      });
      for (std::size_t i = 0; i < lines.size(); ++i) {
        if (results[i].is_blank) continue;
        ++report_.totals.rows;
        if (results[i].problem.what.empty()) {
          add_row(lines[i], results[i]);
        } else {
          add_problem(lines[i].number, std::move(results[i].problem));
        }
      }
    }
  }

  void add_row(const Line& line, const RowResult& row) {
    using LongSamples = DataOptions::LongSamples;
    DataTotals& totals = report_.totals;
    const std::int64_t length = options_.sequence_length;
    const std::int64_t positions = row.ids - 1;
    const char* field = row.is_text ? "text" : "completion";
    totals.longest_row_bytes = std::max<std::uint64_t>(totals.longest_row_bytes, line.text.size());
    if (positions <= length) {
      add_sample(line.offset, 0, positions, row.ids - row.first_trained);
    } else if (options_.long_samples == LongSamples::error) {
      add_problem(line.number,
                  {field, fmt::format("makes the sample {} positions long; expected at most "
                                      "sequence_length = {}",
                                      positions, length)});
    } else if (options_.long_samples == LongSamples::drop) {
      ++totals.dropped;
    } else if (options_.long_samples == LongSamples::truncate) {
      if (row.first_trained > length) {
        add_problem(line.number,
                    {"prompt", fmt::format("alone fills sequence_length = {}; expected "
                                           "room for a token to train",
                                           length)});
        return;
      }
      ++totals.truncated;
      add_sample(line.offset, 0, length, length + 1 - row.first_trained);
    } else {
      split_row(line, row);
    }
  }

  void split_row(const Line& line, const RowResult& row) {
    const std::int64_t length = options_.sequence_length;
    ++report_.totals.split;
    for (std::int64_t skip = 0; skip < row.ids - 1; skip += length) {
      const std::int64_t positions = std::min(length, row.ids - 1 - skip);
      const std::int64_t end = skip + positions + 1;
      const std::int64_t first = std::max(row.first_trained, skip + 1);
      if (first >= end) {
        ++report_.totals.untrained_chunks;
      } else {
        add_sample(line.offset, static_cast<std::uint32_t>(skip), positions, end - first);
      }
    }
  }

  // A piece of text with what the threads found in it.
  struct PieceResult {
    PieceReader::Item item;
    bool begins_document = false;
    std::int64_t ids = 0;
    std::size_t bad_byte = std::string_view::npos;
  };

  // A chunk of the running document that began but whose length is not known yet.
  struct OpenChunk {
    std::uint64_t offset = 0;
    std::uint32_t skip = 0;
  };

  void check_text(const File& file) {
    PieceReader reader(file, document_end_line(tokenizer_), kTextBlockBytes);
    std::vector<PieceResult> pieces;
    bool begins = true;
    line_ = 1;
    document_ids_ = 0;
    next_chunk_ = 0;
    while (reader.more()) {
      pieces.clear();
      for (PieceResult piece; reader.take(piece.item); pieces.push_back(piece)) {
        piece.begins_document = begins;
        begins = piece.item.ends_document;
      }
      parallel_for_throwing(static_cast<std::int64_t>(pieces.size()), [&](std::int64_t i) {
        PieceResult& piece = pieces[static_cast<std::size_t>(i)];
        piece.bad_byte = first_invalid_utf8(piece.item.text);
        thread_local std::vector<TokenId> ids;
        render_piece(piece.item.text, piece.begins_document, piece.item.ends_document, tokenizer_,
                     options_.parse_special, ids);
        piece.ids = static_cast<std::int64_t>(ids.size());
      });
      for (const PieceResult& piece : pieces) add_piece(piece);
    }
  }

  void add_piece(const PieceResult& piece) {
    const std::string_view text = piece.item.text;
    if (piece.bad_byte != std::string_view::npos) {
      const std::string_view before = text.substr(0, piece.bad_byte);
      const auto column = piece.bad_byte - (before.rfind('\n') + 1) + 1;
      add_problem(line_ + std::count(before.begin(), before.end(), '\n'),
                  {"", fmt::format("is not UTF-8: byte 0x{:02x} at column {}; expected UTF-8",
                                   static_cast<unsigned char>(text[piece.bad_byte]), column)});
    }
    const std::int64_t length = options_.sequence_length;
    const std::int64_t end = document_ids_ + piece.ids;
    for (; next_chunk_ * length < end; ++next_chunk_) {
      close_chunk(next_chunk_ * length + 1);
      open_chunk_ = {piece.item.offset,
                     static_cast<std::uint32_t>(next_chunk_ * length - document_ids_) |
                         (piece.begins_document ? IndexEntry::kBeginsDocument : 0u)};
    }
    document_ids_ = end;
    if (piece.item.ends_document) end_document(piece);
    line_ += std::count(text.begin(), text.end(), '\n') + (piece.item.bytes > text.size() ? 1 : 0);
  }

  // Adds the chunk that began before chunk number next_chunk_, now that ids up to `end` are known.
  void close_chunk(std::int64_t end) {
    if (next_chunk_ == 0) return;
    const std::int64_t positions = end - 1 - (next_chunk_ - 1) * options_.sequence_length;
    if (positions > 0) add_sample(open_chunk_.offset, open_chunk_.skip, positions, positions);
  }

  void end_document(const PieceResult& piece) {
    close_chunk(document_ids_);
    if (document_ids_ > 0) ++report_.totals.rows;
    if (document_ids_ == 1 && piece.bad_byte == std::string_view::npos)
      add_problem(line_, {"", "is a document of one token; expected at least two"});
    document_ids_ = 0;
    next_chunk_ = 0;
  }

  const DataOptions& options_;
  const Tokenizer& tokenizer_;
  IndexWriter* index_;
  DataReport report_;
  std::size_t file_number_ = 0;
  // The running document of a text file.
  std::int64_t line_ = 1;
  std::int64_t document_ids_ = 0;  // ids so far
  std::int64_t next_chunk_ = 0;    // chunks begun so far
  OpenChunk open_chunk_;
};

}  // namespace

const char* name_of(DataOptions::LongSamples rule) {
  switch (rule) {
    case DataOptions::LongSamples::error:
      return "error";
    case DataOptions::LongSamples::truncate:
      return "truncate";
    case DataOptions::LongSamples::split:
      return "split";
    case DataOptions::LongSamples::drop:
      return "drop";
  }
  return "error";
}

bool is_jsonl(const std::filesystem::path& file) {
  const std::string extension = lower_extension(file);
  return extension == ".jsonl" || extension == ".ndjson";
}

std::string document_end_line(const Tokenizer& tokenizer) {
  const std::string text = tokenizer.eos_id() < 0 ? "" : tokenizer.token_bytes(tokenizer.eos_id());
  const bool is_line = text.find_first_of("\r\n") == std::string::npos &&
                       text.find_first_not_of(" \t") != std::string::npos;
  return is_line ? text : "";
}

void check_options(const DataOptions& options) {
  if (options.files.empty())
    fail(ErrorKind::InvalidArgument, "[data] no file is given; expected at least one");
  if (options.files.size() > IndexEntry::kMaxFiles)
    fail(ErrorKind::InvalidArgument,
         "[data] too many files; got {}; expected at most {}; try joining "
         "them",
         options.files.size(), IndexEntry::kMaxFiles);
  if (options.sequence_length < 1 ||
      options.sequence_length > std::numeric_limits<std::int32_t>::max())
    fail(ErrorKind::InvalidArgument,
         "[data] sequence_length is out of range; got {}; expected 1 to "
         "2147483647",
         options.sequence_length);
  for (const std::filesystem::path& file : options.files) {
    const std::string extension = lower_extension(file);
    for (const char* other : {".json", ".parquet", ".arrow", ".csv", ".tsv", ".gz", ".zst", ".zip",
                              ".gguf", ".safetensors"}) {
      if (extension == other)
        fail(ErrorKind::Unsupported,
             "[data] '{}' is of a kind that is not read; expected JSONL "
             "(.jsonl) or plain text (.txt); try converting it to one JSON object a line",
             file.string());
    }
  }
}

std::string to_string(const DataReport& report) {
  std::string text;
  for (const DataProblem& problem : report.problems)
    text += fmt::format("{}:{}: {}{}{}\n", problem.file, problem.line, problem.field,
                        problem.field.empty() ? "row " : ": ", problem.what);
  const std::uint64_t hidden = report.problem_count - report.problems.size();
  if (hidden > 0) text += fmt::format("and {} more\n", hidden);
  return text;
}

DataReport check_dataset(const DataOptions& options, const Tokenizer& tokenizer,
                         IndexWriter* index) {
  check_options(options);
  return Checker(options, tokenizer, index).run();
}

}  // namespace outsize
