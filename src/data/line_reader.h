// Reads a file's lines in blocks of bounded size, so that files of any size pass through the same
// small memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/file.h"

namespace outsize {

// Longer lines are reported, not read: they would have to lie in memory whole.
inline constexpr std::size_t kMaxLineBytes = std::size_t{64} << 20;

struct Line {
  std::string_view text;     // without its newline; empty when the line is too long
  std::uint64_t offset = 0;  // of its first byte in the file
  std::int64_t number = 0;   // from 1
  bool is_too_long = false;
};

class LineReader {
 public:
  // `file` must outlive the reader. A byte-order mark at the start is skipped.
  explicit LineReader(const File& file);

  // Fills `lines` with the whole lines of the next block, valid until the next call; false at the
  // end. Throws Io or Corruption when the file cannot be read.
  bool next(std::vector<Line>& lines);

 private:
  void refill();
  void skip_long_line(std::vector<Line>& lines);

  const File& file_;
  std::string buffer_;
  std::size_t used_ = 0;           // bytes of buffer_ already given out
  std::uint64_t base_offset_ = 0;  // of buffer_[0] in the file
  std::uint64_t read_offset_ = 0;  // next byte to read
  std::int64_t line_number_ = 1;
};

// Reads the line that begins at `offset` into `line`. `guess_bytes` is its likely length. Throws
// Corruption when the file ends before it or it is longer than kMaxLineBytes.
void read_line_at(const File& file, std::uint64_t offset, std::size_t guess_bytes,
                  std::string& line);

// Line number (from 1) of the byte at `offset`: reads the file up to there.
std::int64_t line_number_at(const File& file, std::uint64_t offset);

}  // namespace outsize
