#include "data/text_pieces.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace outsize {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

std::string_view without_return(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// Whether a cut before text[at], just after a newline, parts two non-blank lines.
bool is_clean_cut(std::string_view text, std::size_t at) {
  std::size_t last = at - 1;  // the newline
  if (last > 0 && text[last - 1] == '\r') --last;
  return last > 0 && !is_blank(text[last - 1]) && !is_blank(text[at]);
}

// No line end will do: before the last space that follows a word, else between characters.
std::size_t forced_cut(std::string_view text) {
  for (std::size_t at = kMaxPieceBytes; at > kMinPieceBytes; --at) {
    if (text[at] == ' ' && !is_blank(text[at - 1])) return at;
  }
  std::size_t at = kMaxPieceBytes;
  while (at > kMaxPieceBytes - 4 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

}  // namespace

bool cut_piece(std::string_view text, bool at_end, std::string_view end_line, Piece& piece) {
  // Bytes past this bound must not matter, however many were read.
  const std::size_t enough = kMaxPieceBytes + end_line.size() + 2;
  at_end = at_end && text.size() <= enough;
  text = text.substr(0, enough);
  std::size_t line_start = 0;
  while (line_start <= kMaxPieceBytes) {
    const std::size_t newline = text.find('\n', line_start);
    const bool is_whole = newline != std::string_view::npos;
    if (!is_whole && !at_end && text.size() < enough) return false;
    const std::size_t line_end = is_whole ? newline : text.size();
    if ((is_whole || at_end) && !end_line.empty() &&
        without_return(text.substr(line_start, line_end - line_start)) == end_line) {
      piece = {line_start, is_whole ? newline + 1 : text.size(), true};
      return true;
    }
    if (!is_whole) break;
    line_start = newline + 1;
    if (line_start > kMaxPieceBytes) break;
    if (line_start == text.size()) {
      if (!at_end) return false;
      break;
    }
    if (line_start >= kMinPieceBytes && is_clean_cut(text, line_start)) {
      piece = {line_start, line_start, false};
      return true;
    }
  }
  if (text.size() <= kMaxPieceBytes) {  // at the end of the file
    piece = {text.size(), text.size(), true};
    return true;
  }
  const std::size_t cut = forced_cut(text);
  piece = {cut, cut, false};
  return true;
}

PieceReader::PieceReader(const File& file, std::string end_line, std::size_t read_bytes)
    : file_(file), end_line_(std::move(end_line)), read_bytes_(read_bytes) {
  seek(0);
}

void PieceReader::seek(std::uint64_t offset) {
  buffer_.clear();
  used_ = 0;
  base_offset_ = offset;
  read_offset_ = offset;
}

bool PieceReader::more() {
  buffer_.erase(0, used_);
  base_offset_ += used_;
  used_ = 0;
  if (read_offset_ > file_.size())
    fail(ErrorKind::Corruption, "[data] '{}' is shorter than when it was checked", file_.path());
  const std::uint64_t left = file_.size() - read_offset_;
  const std::size_t bytes = static_cast<std::size_t>(std::min<std::uint64_t>(read_bytes_, left));
  const std::size_t kept = buffer_.size();
  buffer_.resize(kept + bytes);
  file_.read_at(read_offset_, buffer_.data() + kept, bytes);
  read_offset_ += bytes;
  if (base_offset_ == 0 && std::string_view(buffer_).starts_with(kByteOrderMark))
    used_ = kByteOrderMark.size();
  return used_ < buffer_.size();
}

bool PieceReader::take(Item& item) {
  const std::string_view rest = std::string_view(buffer_).substr(used_);
  Piece piece;
  if (rest.empty() || !cut_piece(rest, read_offset_ == file_.size(), end_line_, piece))
    return false;
  item = {rest.substr(0, piece.text_bytes), base_offset_ + used_, piece.next, piece.ends_document};
  used_ += piece.next;
  return true;
}

}  // namespace outsize
