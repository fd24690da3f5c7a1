// Cuts a text file into pieces of some kilobytes that are tokenised one by one, so that a file of
// any size needs little memory and any place in it can be reached without reading what lies before.
// Where a piece ends follows from its own bytes alone. Cuts lie at a line end between two non-blank
// lines where there is one (there no published pre-tokenizer pattern joins across), else before a
// space, else between characters.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/file.h"

namespace outsize {

inline constexpr std::size_t kMinPieceBytes = 4096;
inline constexpr std::size_t kMaxPieceBytes = 65536;

struct Piece {
  std::size_t text_bytes = 0;  // to tokenise, from the start of the piece
  std::size_t next = 0;        // where the next piece begins; past an end line, if one ended this
  bool ends_document = false;
};

// Cuts the first piece of `text`, not empty. `end_line` (may be empty: none) is the line that parts
// documents. Returns false when more bytes than `text` holds are needed to decide, which cannot be
// if at_end, or if text holds kMaxPieceBytes + end_line.size() + 2 bytes.
bool cut_piece(std::string_view text, bool at_end, std::string_view end_line, Piece& piece);

// The pieces of a file from some offset on, in order.
class PieceReader {
 public:
  // `file` must outlive the reader; `read_bytes` is how much is read at once.
  PieceReader(const File& file, std::string end_line, std::size_t read_bytes);

  // Begins anew at `offset`, the start of a piece; a byte-order mark at the file's start is
  // skipped.
  void seek(std::uint64_t offset);
  // False at the end of the file. `text` is valid until more() or the next seek().
  struct Item {
    std::string_view text;
    std::uint64_t offset = 0;  // of its first byte in the file
    std::uint64_t bytes = 0;   // up to the next piece
    bool ends_document = false;
  };
  // Takes the next piece out of what was read; false when more() must be called first.
  bool take(Item& item);
  // Reads on; false at the end of the file with nothing left. Ends the views given out so far.
  bool more();

 private:
  const File& file_;
  std::string end_line_;
  std::size_t read_bytes_;
  std::string buffer_;
  std::size_t used_ = 0;
  std::uint64_t base_offset_ = 0;
  std::uint64_t read_offset_ = 0;
};

}  // namespace outsize
