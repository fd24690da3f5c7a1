#include "data/line_reader.h"

#include <algorithm>

#include "core/error.h"

namespace outsize {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

LineReader::LineReader(const File& file) : file_(file) {
  refill();
  if (std::string_view(buffer_).starts_with(kByteOrderMark)) used_ = kByteOrderMark.size();
}

// Drops the bytes given out and reads one block more.
void LineReader::refill() {
  buffer_.erase(0, used_);
  base_offset_ += used_;
  used_ = 0;
  const std::size_t bytes =
      static_cast<std::size_t>(std::min<std::uint64_t>(kBlockBytes, file_.size() - read_offset_));
  const std::size_t kept = buffer_.size();
  buffer_.resize(kept + bytes);
  file_.read_at(read_offset_, buffer_.data() + kept, bytes);
  read_offset_ += bytes;
}

void LineReader::skip_long_line(std::vector<Line>& lines) {
  lines.push_back({{}, base_offset_, line_number_++, true});
  while (true) {
    const std::size_t end = buffer_.find('\n', used_);
    used_ = end == std::string::npos ? buffer_.size() : end + 1;
    if (end != std::string::npos || read_offset_ == file_.size()) return;
    refill();
  }
}

bool LineReader::next(std::vector<Line>& lines) {
  lines.clear();
  std::size_t end = buffer_.rfind('\n');
  while (end == std::string::npos || end < used_) {
    if (read_offset_ == file_.size()) break;
    const std::size_t searched = buffer_.size() - used_;
    refill();
    end = std::string_view(buffer_).substr(searched).rfind('\n');
    if (end != std::string::npos) end += searched;
    if (end == std::string::npos && buffer_.size() > kMaxLineBytes) {
      skip_long_line(lines);
      return true;
    }
  }
  if (used_ == buffer_.size()) return false;
  // At the end of the file the last line may lack its newline.
  const std::size_t limit = end == std::string::npos || end < used_ ? buffer_.size() : end + 1;
  const std::string_view block = std::string_view(buffer_).substr(0, limit);
  while (used_ < limit) {
    const std::size_t stop = std::min(block.find('\n', used_), limit);
    const bool is_too_long = stop - used_ > kMaxLineBytes;
    lines.push_back({is_too_long ? std::string_view() : block.substr(used_, stop - used_),
                     base_offset_ + used_, line_number_++, is_too_long});
    used_ = std::min(stop + 1, limit);
  }
  return true;
}

void read_line_at(const File& file, std::uint64_t offset, std::size_t guess_bytes,
                  std::string& line) {
  if (offset > file.size())
    fail(ErrorKind::Corruption, "[data] '{}' is shorter than when it was checked", file.path());
  line.clear();
  std::size_t want = std::max<std::size_t>(guess_bytes, 256);
  while (true) {
    const std::size_t have = line.size();
    const std::uint64_t left = file.size() - offset - have;
    const std::size_t bytes = static_cast<std::size_t>(std::min<std::uint64_t>(want, left));
    line.resize(have + bytes);
    file.read_at(offset + have, line.data() + have, bytes);
    const std::size_t end = line.find('\n', have);
    if (end != std::string::npos) line.resize(end);
    if (line.size() > kMaxLineBytes)
      fail(ErrorKind::Corruption,
           "[data] '{}' changed since it was checked: the line at byte {} is too "
           "long",
           file.path(), offset);
    if (end != std::string::npos || bytes == left) return;
    want = line.size();  // double
  }
}

std::int64_t line_number_at(const File& file, std::uint64_t offset) {
  std::string block;
  std::int64_t number = 1;
  offset = std::min(offset, file.size());
  for (std::uint64_t at = 0; at < offset; at += block.size()) {
    block.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kBlockBytes, offset - at)));
    file.read_at(at, block.data(), block.size());
    number += std::count(block.begin(), block.end(), '\n');
  }
  return number;
}

}  // namespace outsize
