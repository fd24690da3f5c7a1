// Lines and text pieces: the same cuts whatever the block size, nothing lost, bounds respected.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/rng.h"
#include "data/line_reader.h"
#include "data/text_pieces.h"
#include "fixtures.h"

namespace outsize {
namespace {

using data_test::TemporaryFiles;

struct OwnedLine {
  std::string text;
  std::uint64_t offset;
  std::int64_t number;
  bool is_too_long;
};

std::vector<OwnedLine> lines_of(const std::filesystem::path& path) {
  const File file = File::open(path.string());
  LineReader reader(file);
  std::vector<OwnedLine> all;
  for (std::vector<Line> lines; reader.next(lines);) {
    for (const Line& line : lines)
      all.push_back({std::string(line.text), line.offset, line.number, line.is_too_long});
  }
  return all;
}

TEST(LineReader, GivesEveryLineItsPlace) {
  const TemporaryFiles files;
  std::string text;
  std::vector<std::string> expected;
  const Rng rng(1, 1);
  for (std::uint64_t i = 0; i < 30000; ++i) {
    expected.push_back(std::string(rng.below(i, 300), static_cast<char>('a' + i % 26)));
    text += expected.back() + "\n";
  }
  for (const bool ends_with_newline : {true, false}) {
    const auto path = files.write(
        "a.jsonl", std::string_view(text).substr(0, text.size() - (ends_with_newline ? 0 : 1)));
    const std::vector<OwnedLine> lines = lines_of(path);
    ASSERT_EQ(lines.size(), expected.size());
    const File file = File::open(path.string());
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      ASSERT_EQ(lines[i].text, expected[i]);
      ASSERT_EQ(lines[i].offset, offset);
      ASSERT_EQ(lines[i].number, static_cast<std::int64_t>(i) + 1);
      offset += expected[i].size() + 1;
      if (i % 97 != 0) continue;
      std::string line;
      read_line_at(file, lines[i].offset, i % 50, line);
      ASSERT_EQ(line, expected[i]);
      ASSERT_EQ(line_number_at(file, lines[i].offset), lines[i].number);
    }
  }
}

TEST(LineReader, HandlesEmptyFilesMarksAndLongLines) {
  const TemporaryFiles files;
  EXPECT_TRUE(lines_of(files.write("empty.jsonl", "")).empty());
  const auto marked = lines_of(files.write("mark.jsonl", "\xef\xbb\xbf{}\n"));
  ASSERT_EQ(marked.size(), 1u);
  EXPECT_EQ(marked[0].text, "{}");
  EXPECT_EQ(marked[0].offset, 3u);
  const auto lines =
      lines_of(files.write("long.jsonl", "a\n" + std::string(kMaxLineBytes + 5, 'x') + "\nb\n"));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_FALSE(lines[0].is_too_long);
  EXPECT_TRUE(lines[1].is_too_long);
  EXPECT_EQ(lines[2].text, "b");
  EXPECT_EQ(lines[2].number, 3);
}

struct OwnedPiece {
  std::string text;
  std::uint64_t offset;
  std::uint64_t bytes;
  bool ends_document;
  bool operator==(const OwnedPiece&) const = default;
};

std::vector<OwnedPiece> pieces_of(const File& file, std::size_t read_bytes, std::uint64_t from = 0,
                                  std::size_t limit = ~std::size_t{0}) {
  PieceReader reader(file, "<eos>", read_bytes);
  reader.seek(from);
  std::vector<OwnedPiece> all;
  while (all.size() < limit && reader.more()) {
    for (PieceReader::Item item; all.size() < limit && reader.take(item);)
      all.push_back({std::string(item.text), item.offset, item.bytes, item.ends_document});
  }
  return all;
}

// Text of all the kinds a cut can meet: long lines, runs of blanks, end lines, wide characters.
std::string mixed_text(std::uint64_t seed, std::size_t bytes) {
  const Rng rng(seed, 2);
  const char* parts[] = {"word ",       "\n",        "\n\n",         "\r\n",  "  ",
                         "caf\xc3\xa9", "\n<eos>\n", "\xe4\xb8\xad", "<eos>", "\n<eos>\r\n"};
  std::string text;
  for (std::uint64_t i = 0; text.size() < bytes; ++i) {
    const std::uint64_t pick = rng.below(2 * i, 2000);
    if (pick == 0) text += std::string(rng.below(2 * i + 1, 200000), 'x');
    text += pick < 1500 ? parts[pick % 6 == 1 ? 0 : pick % 6] : parts[pick % 10];
  }
  return text;
}

TEST(TextPieces, DoNotDependOnHowMuchIsReadAtOnce) {
  const TemporaryFiles files;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const std::string text = mixed_text(seed, 600000);
    const File file = File::open(files.write("a.txt", text).string());
    const std::vector<OwnedPiece> pieces = pieces_of(file, std::size_t{1} << 20);
    EXPECT_EQ(pieces_of(file, 1000), pieces);
    std::string joined;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      ASSERT_EQ(pieces[i].offset, joined.size());
      ASSERT_LE(pieces[i].text.size(), kMaxPieceBytes);
      ASSERT_EQ(text.substr(joined.size(), pieces[i].text.size()), pieces[i].text);
      ASSERT_EQ(pieces_of(file, 16384, pieces[i].offset, 1)[0], pieces[i]);
      joined += text.substr(joined.size(), pieces[i].bytes);
    }
    EXPECT_EQ(joined, text);
    EXPECT_TRUE(pieces.back().ends_document);
  }
}

TEST(TextPieces, PartDocumentsAtEndLines) {
  const TemporaryFiles files;
  const File file = File::open(files.write("a.txt", "one\n<eos>\r\ntwo <eos> two\n<eos>").string());
  const std::vector<OwnedPiece> pieces = pieces_of(file, 1 << 20);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[0].text, "one\n");
  EXPECT_EQ(pieces[1].text, "two <eos> two\n");
  EXPECT_TRUE(pieces[0].ends_document && pieces[1].ends_document);
}

TEST(TextPieces, CutsBetweenCharactersWhenNothingBetterIsThere) {
  std::string text;
  while (text.size() < 3 * kMaxPieceBytes) text += "\xe4\xb8\xad";
  Piece piece;
  ASSERT_TRUE(cut_piece(text, true, "", piece));
  EXPECT_EQ(piece.text_bytes % 3, 0u);
  EXPECT_GT(piece.text_bytes, kMaxPieceBytes - 3);
  // Not UTF-8 at all: still cut, still bounded.
  ASSERT_TRUE(cut_piece(std::string(2 * kMaxPieceBytes, '\x80'), true, "", piece));
  EXPECT_GE(piece.text_bytes, kMaxPieceBytes - 4);
}

}  // namespace
}  // namespace outsize
